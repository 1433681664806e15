// Rows of pixels between channels apart and channels side by side. Each function has a plain twin
// and one for AVX2, which give the same bytes.
#pragma once

#include <cstdint>

#include "color.h"

namespace hmtl {

// Three channels of one row, apart.
struct ChannelRows {
  const std::uint8_t *first, *second, *third;
};

// Interleaved pixels to three rows; `rgb` overlaps none of them.
void split_row(const std::uint8_t* rgb, std::uint8_t* const channels[3], int width);

// Three rows to interleaved pixels.
void join_row(const ChannelRows& channels, std::uint8_t* rgb, int width);

// The same, through the matrix.
void color_row(const ColorMatrix& matrix, const ChannelRows& channels, std::uint8_t* rgb,
               int width);

}  // namespace hmtl
