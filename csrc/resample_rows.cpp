#include "resample_rows.h"

#include <algorithm>

#include "dispatch.h"
#include "resample_avx2.h"
#include "resample_wide.h"

namespace hmtl {
namespace {

void sum_rows_plain(const WeightedRow* rows, int row_count, std::int32_t bias, std::uint8_t* line,
                    int count) {
  constexpr int kSums = 64;
  std::int32_t sums[kSums];
  for (int x = 0; x < count; x += kSums) {
    const int width = std::min(kSums, count - x);
    std::fill_n(sums, kSums, bias);
    for (int k = 0; k < row_count; ++k) {
      const std::uint8_t* row = rows[k].row + x;
      for (int i = 0; i < width; ++i) sums[i] += rows[k].weight * row[i];
    }
    for (int i = 0; i < width; ++i) line[x + i] = resampled(sums[i]);
  }
}

}  // namespace

void sum_rows(WeightedRow* rows, int row_count, std::int32_t bias, std::uint8_t* line, int count) {
#ifdef HMTL_X86
  if (use_wide()) return sum_rows_wide(rows, row_count, bias, line, count);
  if (count >= kColumnBlock && use_avx2()) {
    return sum_rows_avx2(rows, row_count, bias, line, count);
  }
#endif
  sum_rows_plain(rows, row_count, bias, line, count);
}

void prepare_columns(int step, bool mirrored, Columns& columns) {
  columns.step = step;
  columns.mirrored = mirrored;
  columns.kind = Kernels::kPlain;
  columns.pairs = 1;
#ifdef HMTL_X86
  if (use_wide() && prepare_wide(columns)) {
    columns.kind = Kernels::kWide;
  } else if (use_avx2()) {
    prepare_avx2(columns);
    if (columns.pairs > 0 || step == 1) columns.kind = Kernels::kAvx2;
  }
#endif
}

void sum_columns_plain(const std::uint8_t* const* lines, int line_count, const Columns& columns,
                       int begin, std::uint8_t* const* out) {
  const Taps& taps = columns.taps;
  for (int i = begin; i < taps.out; ++i) {
    const int sample = sample_at(columns, i);
    const std::ptrdiff_t first =
        (taps.first[static_cast<std::size_t>(sample)] - taps.begin) * columns.step;
    const std::int16_t* weights = taps.weights_of(sample);
    const std::int32_t bias = taps.bias[static_cast<std::size_t>(sample)];
    for (int j = 0; j < line_count; ++j) {
      const std::uint8_t* samples = lines[j] + first;
      std::int32_t sum = bias;
      for (int k = 0; k < taps.count; ++k) sum += samples[k * columns.step] * weights[k];
      out[j][i] = resampled(sum);
    }
  }
}

void sum_columns(const std::uint8_t* const* lines, int line_count, const Columns& columns,
                 std::uint8_t* const* out) {
  switch (columns.kind) {
#ifdef HMTL_X86
    case Kernels::kWide:
      return sum_columns_wide(lines, line_count, columns, out);
    case Kernels::kAvx2:
      return sum_columns_avx2(lines, line_count, columns, out);
#endif
    default:
      sum_columns_plain(lines, line_count, columns, 0, out);
  }
}

}  // namespace hmtl
