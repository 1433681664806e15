// Decoding into one array that holds the pictures of a batch, each in a slot of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include "decode.h"
#include "decoded.h"

namespace hmtl {

// How many bytes the slot of a sample must have, whatever its file holds. A pure function of the
// extent, whose file is not looked at, and of what is decoded of it.
std::int64_t slot_bytes(const Extent& extent, const DecodeOptions& options);

// Copies the pixels of a decoded RGB picture into its slot and says where they lie. Throws
// std::logic_error where they do not fit.
DecodedSource fill_slot(const Picture& picture, std::uint8_t* slot, std::int64_t bytes);

}  // namespace hmtl
