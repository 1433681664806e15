// Rows of pixels between channels apart and channels side by side. Everything has a plain twin, one
// for AVX2 and, beside splitting, one for AVX-512, which give the same bytes.
#pragma once

#include <cstdint>

#include "color.h"

namespace hmtl {

// Three channels of one row, apart.
struct ChannelRows {
  const std::uint8_t *first, *second, *third;
};

// What becomes of every value of a channel, where no channel depends on another.
struct alignas(64) ColorTables {
  std::uint8_t of[3][256];
};

// Interleaved pixels to three rows; `rgb` overlaps none of them.
void split_row(const std::uint8_t* rgb, std::uint8_t* const channels[3], int width);

// Three rows to interleaved pixels.
void join_row(const ChannelRows& channels, std::uint8_t* rgb, int width);

// A colour matrix made ready for many rows.
class RowColor {
 public:
  explicit RowColor(const ColorMatrix& matrix);

  // Three rows to interleaved pixels, through the matrix.
  void convert(const ChannelRows& channels, std::uint8_t* rgb, int width) const;

 private:
  enum class Way { kJoin, kLookUp, kWide, kAvx2, kPlain };

  ColorMatrix matrix_;
  Way way_;
  ColorTables tables_;  // where values are looked up
};

}  // namespace hmtl
