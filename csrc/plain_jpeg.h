// Which JPEGs another decoder may be given: those that it cannot read in another way than ours.
#pragma once

#include <cstddef>
#include <cstdint>

#include "inspect.h"

namespace hmtl {

// The size of a picture if the bytes are one whole baseline or progressive JPEG of 8 bits, grey or
// YCbCr in the usual sampling, of no more than `max_pixels` pixels, which no EXIF orientation turns
// unless that is to be ignored; else 0 × 0. Looks at all of the structure, down to the tables and
// the order and number of restart markers, up to an end marker in the last two bytes; not at what
// is coded. Any bytes are safe.
ImageSize plain_jpeg_size(const std::uint8_t* bytes, std::size_t size, bool ignore_exif,
                          std::int64_t max_pixels);

}  // namespace hmtl
