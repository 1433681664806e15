#include "filter.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "dispatch.h"

namespace hmtl {
namespace {

int reflect(int i, int length) {
  if (i < 0) i = -i;
  if (i >= length) i = 2 * (length - 1) - i;
  return i;
}

HMTL_CLONES void blend_five(const std::uint8_t* const rows[5], std::uint16_t* sums, int count) {
  const std::uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3], *e = rows[4];
  for (int i = 0; i < count; ++i) {
    sums[i] = static_cast<std::uint16_t>(a[i] + e[i] + 4 * (b[i] + d[i]) + 6 * c[i]);
  }
}

// `sums` points at the first pixel and has two more before and behind. 255 · 256 + 128 fits 16
// bits.
HMTL_CLONES void blend_along(const std::uint16_t* sums, std::uint8_t* out, int count) {
  for (int i = 0; i < count; ++i) {
    const std::uint32_t sum = static_cast<std::uint32_t>(sums[i - 6]) + sums[i + 6] +
                              4u * (static_cast<std::uint32_t>(sums[i - 3]) + sums[i + 3]) +
                              6u * sums[i];
    out[i] = static_cast<std::uint8_t>((sum + 128) >> 8);
  }
}

}  // namespace

void blur(MutableImageView rgb, FilterScratch& scratch) {
  if (rgb.height < 3 || rgb.width < 3)
    throw std::invalid_argument("blur needs at least 3 × 3 pixels");
  const int count = rgb.width * 3;
  scratch.copy.reshape(rgb.height, rgb.width, 3);
  for (int y = 0; y < rgb.height; ++y)
    std::memcpy(scratch.copy.row(y), rgb.row(y), static_cast<std::size_t>(count));
  scratch.sums.resize(static_cast<std::size_t>(count) + 12);
  std::uint16_t* sums = scratch.sums.data() + 6;
  for (int y = 0; y < rgb.height; ++y) {
    const std::uint8_t* rows[5];
    for (int k = 0; k < 5; ++k) rows[k] = scratch.copy.row(reflect(y + k - 2, rgb.height));
    blend_five(rows, sums, count);
    for (int k = 1; k <= 2; ++k) {
      std::copy_n(sums + 3 * k, 3, sums - 3 * k);
      std::copy_n(sums + count - 3 - 3 * k, 3, sums + count - 3 + 3 * k);
    }
    blend_along(sums, rgb.row(y), count);
  }
}

}  // namespace hmtl
