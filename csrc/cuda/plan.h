// What the host works out before a device renders a batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "decoded.h"
#include "params.h"

namespace hmtl::cuda {

// One view of one sample. Coordinates are those of the turned picture.
struct Job {
  SampleParams params;
  std::uint64_t origin;         // address at which row 0, column 0 lies or, not being held, would
  std::int64_t step_y, step_x;  // bytes to the next row and column
  std::int32_t first_row, last_row, first_column, last_column;  // of what is held, last excluded
  std::int32_t full_height, full_width;
  Box box;
  std::int64_t weights;  // where its tables of weights begin in the workspace's
  std::int32_t row_taps, column_taps, down_taps;  // weights of an output sample, by axis
  std::int32_t side;                              // of the canvas; 0: the row is to be black
};

// An image to its side and back is resampled with as few weights for each sample.
constexpr std::int32_t kUpTaps = 4;

// Which axis a table of weights is for.
enum AxisOf { kRows = 0, kColumns = 1, kDown = 2, kUp = 3, kAxes = 4 };

// Memory that a batch needs on the device while it is rendered, in bytes from the workspace's
// beginning, which is aligned to kAlignment.
struct Workspace {
  static constexpr std::int64_t kAlignment = 256;

  std::int64_t jobs = 0;  // comes first: the host fills it
  std::int64_t firsts = 0, weights = 0, canvas = 0, other = 0, small = 0;
  std::int64_t canvas_bytes = 0, small_bytes = 0;  // of one job
  std::int32_t most_side = 0, most_small = 0;      // the largest canvas and image on the way
  bool has_blur = false, has_noise = false;
  std::int64_t bytes = 0;
};

struct Plan {
  std::vector<Job> jobs;  // by sample, then by view
  Workspace workspace;
  int views = 1, size = 1, grid = 1;
};

// Plans a batch of `samples` pictures in `views` views; `valid` says which rows are not black.
// Throws std::invalid_argument for params, pictures or sizes that cannot be rendered, so that no
// kernel reads or writes outside its memory.
Plan make_plan(const DecodedSource* sources, const SampleParams* params, const bool* valid,
               std::size_t samples, int views, int size, int grid);

}  // namespace hmtl::cuda
