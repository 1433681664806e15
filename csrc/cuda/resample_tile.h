// Antialiased resampling of one tile of an image by the threads of a block.
#pragma once

#include <cstdint>

#include "block.h"
#include "pixel_math.h"

namespace hmtl::cuda {

// Samples of interleaved RGB by row and column: those held lie between first and last.
struct SampleGrid {
  std::uint64_t origin;
  std::int64_t step_y, step_x;
  std::int32_t first_row, last_row, first_column, last_column;

  HMTL_BOTH static int clamped(int i, int first, int last) {
    return i < first ? first : (i < last ? i : last - 1);
  }

  // The three channels at (y, x), or of the nearest sample that is held: weights of others are 0.
  HMTL_BOTH const std::uint8_t* at(int y, int x) const {
    const std::int64_t row = clamped(y, first_row, last_row);
    const std::int64_t column = clamped(x, first_column, last_column);
    const auto offset = static_cast<std::uint64_t>(row * step_y + column * step_x);
    return reinterpret_cast<const std::uint8_t*>(origin + offset);
  }
};

// Without gaps, of one side.
HMTL_BOTH inline SampleGrid square_grid(const std::uint8_t* pixels, int side) {
  return {reinterpret_cast<std::uint64_t>(pixels),
          3 * static_cast<std::int64_t>(side),
          3,
          0,
          side,
          0,
          side};
}

// The weights of one axis.
struct TapTable {
  const std::int32_t* firsts;
  const std::int16_t* weights;
  std::int32_t taps, out;
};

struct ResampleTile {
  static constexpr int kRows = 8, kColumns = 32, kThreads = kRows * kColumns;
  static constexpr int kSegment = 256;  // columns of the input at a time

  struct Shared {
    std::uint8_t lines[kRows][3 * kSegment];
  };
  struct Sums {
    std::int32_t of[3];
  };

  SampleGrid grid;
  TapTable rows, columns;
  int top, left;  // of the tile

  static std::int64_t tiles_for(int side) {
    return blocks_for(side, kRows) * blocks_for(side, kColumns);
  }

  // Calls `put(y, x, channels)` for each sample of the tile that is in the image.
  template <typename Put>
  HMTL_BOTH void operator()(Block<kThreads> block, Shared& shared, Put put) const {
    const int last = left + kColumns < columns.out ? left + kColumns : columns.out;
    const int begin = columns.firsts[left], end = columns.firsts[last - 1] + columns.taps;
    PerThread<Sums, kThreads> sums;
    block.step([&](int thread) {
      for (std::int32_t& sum : sums.of(thread).of) sum = kWeightHalf;
    });
    for (int segment = begin; segment < end; segment += kSegment) {
      const int count = end - segment < kSegment ? end - segment : kSegment;
      block.step([&](int thread) { sum_rows(segment, count, thread, shared); });
      block.step([&](int thread) { sum_columns(segment, count, thread, shared, sums.of(thread)); });
    }
    block.step([&](int thread) {
      const int y = top + thread / kColumns, x = left + thread % kColumns;
      if (y >= rows.out || x >= columns.out) return;
      const Sums& own = sums.of(thread);
      const std::uint8_t channels[3] = {resampled(own.of[0]), resampled(own.of[1]),
                                        resampled(own.of[2])};
      put(y, x, channels);
    });
  }

 private:
  // The vertical pass: neighbouring threads take neighbouring bytes.
  HMTL_BOTH void sum_rows(int segment, int count, int thread, Shared& shared) const {
    const int row = thread / kColumns, y = top + row;
    if (y >= rows.out) return;
    const std::int16_t* const weights = rows.weights + static_cast<std::int64_t>(y) * rows.taps;
    const int first = rows.firsts[y];
    for (int i = thread % kColumns; i < 3 * count; i += kColumns) {
      std::int32_t sum = kWeightHalf;
      for (int k = 0; k < rows.taps; ++k) {
        if (weights[k] != 0) sum += weights[k] * grid.at(first + k, segment + i / 3)[i % 3];
      }
      shared.lines[row][i] = resampled(sum);
    }
  }

  // The horizontal pass, of what it needs of a segment.
  HMTL_BOTH void sum_columns(int segment, int count, int thread, const Shared& shared,
                             Sums& sums) const {
    const int row = thread / kColumns, x = left + thread % kColumns;
    if (top + row >= rows.out || x >= columns.out) return;
    const std::int16_t* const weights =
        columns.weights + static_cast<std::int64_t>(x) * columns.taps;
    const int first = columns.firsts[x] - segment;
    for (int k = 0; k < columns.taps; ++k) {
      const int column = first + k;
      if (column < 0 || column >= count) continue;
      for (int c = 0; c < 3; ++c) sums.of[c] += weights[k] * shared.lines[row][3 * column + c];
    }
  }
};

}  // namespace hmtl::cuda
