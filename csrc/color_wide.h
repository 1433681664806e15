// Rows of colours with the bytes of AVX-512; called only if `use_wide()`.
#pragma once

#include <cstdint>

#include "color.h"
#include "color_rows.h"

namespace hmtl {

void join_row_wide(const ChannelRows& channels, std::uint8_t* rgb, int width);

// Through tables.
void look_up_row_wide(const ColorTables& tables, const ChannelRows& channels, std::uint8_t* rgb,
                      int width);

// Through a matrix whose factors fit into 16 bits.
void color_row_wide(const ColorMatrix& matrix, const ChannelRows& channels, std::uint8_t* rgb,
                    int width);

}  // namespace hmtl
