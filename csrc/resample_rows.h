// The two passes of resampling, a row at a time. Each has a plain twin, one for AVX2 and one for
// AVX-512, which give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "dispatch.h"
#include "taps.h"

namespace hmtl {

// Output samples that the horizontal pass writes together: rows it writes have room for a multiple.
constexpr int kColumnBlock = 32;

constexpr int padded(int width) { return (width + kColumnBlock - 1) / kColumnBlock * kColumnBlock; }

// Bytes that the horizontal pass may read behind the last one that counts.
constexpr std::size_t kLineSlack = 64;

// A row of the input and its weight in a row of the output.
struct WeightedRow {
  const std::uint8_t* row;
  std::int32_t weight;
};

// Vertical pass: line[x] = (sum of weight · row[x] + bias) >> kWeightBits, clipped to 0 … 255, for
// x < count. `rows` has room for one row more.
void sum_rows(WeightedRow* rows, int row_count, std::int32_t bias, std::uint8_t* line, int count);

// The taps of the horizontal pass for lines whose samples are `step` bytes apart, and how vectors
// use them. See Notes [Columns in AVX2] and [Columns in AVX-512].
struct Columns {
  Taps taps;
  int step = 1;
  bool mirrored = false;           // the last output sample comes first
  Kernels kind = Kernels::kPlain;  // that the rest is for
  int pairs = 0;                   // 0: the samples lie too far apart to be summed in pairs
  bool one_window = false;         // of AVX2
  std::vector<std::int32_t> places, biases;
  std::vector<std::uint8_t> picks;
  std::vector<std::int16_t> weights;
};

// The output sample, in the order of the taps, that is written to place `i` of the row.
inline int sample_at(const Columns& columns, int i) {
  return columns.mirrored ? columns.taps.out - 1 - i : i;
}

// Prepares columns whose taps are made. Lines of channels side by side have 3 bytes to a step;
// where `pairs` stays 0, they are better split and summed with step 1.
void prepare_columns(int step, bool mirrored, Columns& columns);

// Horizontal pass of up to 3 lines that have the same columns: writes padded(taps.out) samples of
// each, those behind the last one unspecified. A line begins with the sample taps.begin and has
// taps.count more than up to taps.end, then kLineSlack bytes.
void sum_columns(const std::uint8_t* const* lines, int line_count, const Columns& columns,
                 std::uint8_t* const* out);

// The same without vectors, of the samples that are written to the places from `begin` on.
void sum_columns_plain(const std::uint8_t* const* lines, int line_count, const Columns& columns,
                       int begin, std::uint8_t* const* out);

}  // namespace hmtl
