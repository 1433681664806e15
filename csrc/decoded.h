// Pixels that were decoded already, wherever that happened.
#pragma once

#include <cstdint>

namespace hmtl {

// Interleaved 8-bit RGB of a part of a picture, borrowed. The picture may have been scaled down by
// `denominator` while it was decoded: all other numbers count the pixels that this left, and a box
// in pixels of the stored picture is divided by it. The layout is that of the NumPy structured type
// `DECODED_SOURCE`.
struct DecodedSource {
  std::uint64_t pixels = 0;            // address of the first pixel held, on the host or a device
  std::int64_t stride = 0;             // bytes from row to row
  std::int32_t height = 0, width = 0;  // of the part that is held
  std::int32_t top = 0, left = 0;      // of that part in the picture
  std::int32_t full_height = 0, full_width = 0;
  std::int32_t denominator = 1;  // 1, 2, 4 or 8
};
static_assert(sizeof(DecodedSource) == 48);

}  // namespace hmtl
