// The two passes of resampling with the bytes and dot products of AVX-512; called only if
// `use_wide()`.
#pragma once

#include <cstdint>

#include "resample_rows.h"

namespace hmtl {

// As `sum_rows`.
void sum_rows_wide(WeightedRow* rows, int row_count, std::int32_t bias, std::uint8_t* line,
                   int count);

// Prepares columns of `step` bytes for `sum_columns_wide`. Returns false where their inputs lie too
// far apart. See Note [Columns in AVX-512].
bool prepare_wide(Columns& columns);

// As `sum_columns`, for columns so prepared.
void sum_columns_wide(const std::uint8_t* const* lines, int line_count, const Columns& columns,
                      std::uint8_t* const* out);

}  // namespace hmtl
