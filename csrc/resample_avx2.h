// The two passes of resampling in AVX2; called only if `use_avx2()`.
#pragma once

#include <cstdint>

#include "resample_rows.h"

namespace hmtl {

// As `sum_rows`, for 32 columns or more.
void sum_rows_avx2(WeightedRow* rows, int row_count, std::int32_t bias, std::uint8_t* line,
                   int count);

// Prepares columns for `sum_columns_avx2`. See Note [Columns in AVX2].
void prepare_avx2(Columns& columns);

// As `sum_columns`, for columns so prepared; without pairs, of steps of one byte only.
void sum_columns_avx2(const std::uint8_t* const* lines, int line_count, const Columns& columns,
                      std::uint8_t* const* out);

}  // namespace hmtl
