#include "plan.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "batch.h"
#include "block.h"
#include "taps.h"
#include "taps_math.h"
#include "turn.h"

namespace hmtl::cuda {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

// Where the pixels of the turned picture lie in that which is held.
void place_pixels(const DecodedSource& source, int quarters, Job& job) {
  if (source.height < 1 || source.width < 1 || source.top < 0 || source.left < 0 ||
      source.top > source.full_height - source.height ||
      source.left > source.full_width - source.width) {
    refuse("a decoded picture of " + std::to_string(source.full_height) + " × " +
           std::to_string(source.full_width) + " must hold a part of it, got " +
           std::to_string(source.height) + " × " + std::to_string(source.width) + " at " +
           std::to_string(source.top) + ", " + std::to_string(source.left));
  }
  const int denominator = source.denominator;
  if (denominator != 1 && denominator != 2 && denominator != 4 && denominator != 8) {
    refuse("a picture is scaled down by 1, 2, 4 or 8, got " + std::to_string(denominator));
  }
  const std::int64_t down = source.stride, right = 3;
  const int height = source.full_height, width = source.full_width;
  const int bottom = source.top + source.height, end = source.left + source.width;
  // The stored pixel that comes to row 0, column 0.
  const std::int64_t first_y = quarters == 2 || quarters == 3 ? height - 1 : 0;
  const std::int64_t first_x = quarters == 1 || quarters == 2 ? width - 1 : 0;
  job.origin = source.pixels + static_cast<std::uint64_t>((first_y - source.top) * down +
                                                          (first_x - source.left) * right);
  const bool upright = quarters % 2 == 0;
  job.full_height = upright ? height : width;
  job.full_width = upright ? width : height;
  switch (quarters) {
    case 1:
      job.step_y = -right, job.step_x = down;
      job.first_row = width - end, job.last_row = width - source.left;
      job.first_column = source.top, job.last_column = bottom;
      break;
    case 2:
      job.step_y = -down, job.step_x = -right;
      job.first_row = height - bottom, job.last_row = height - source.top;
      job.first_column = width - end, job.last_column = width - source.left;
      break;
    case 3:
      job.step_y = right, job.step_x = -down;
      job.first_row = source.left, job.last_row = end;
      job.first_column = height - bottom, job.last_column = height - source.top;
      break;
    default:
      job.step_y = down, job.step_x = right;
      job.first_row = source.top, job.last_row = bottom;
      job.first_column = source.left, job.last_column = end;
  }
}

// Returns the most weights of an output sample; checks that all samples with one are held.
int check_axis(float from, float to, int length, int side, int first, int last, const char* what) {
  if (!(from < to) || !std::isfinite(from) || !std::isfinite(to)) {
    refuse("a crop must have x0 < x1 and y0 < y1, got " + std::to_string(from) + " … " +
           std::to_string(to));
  }
  const Axis axis = make_axis(from, to, length, side);
  if (axis.support > kMaxReach) {
    refuse("a crop may have " + std::to_string(kMaxReach) + " pixels for each output pixel, got " +
           std::to_string(axis.scale));
  }
  const double begin = std::max(0.0, filter_first(axis, filter_centre(axis, 0)));
  const double end = std::min<double>(length, filter_last(axis, filter_centre(axis, side - 1)));
  if (begin < end && (begin < first || end > last)) {
    refuse(std::string("resampling reads ") + what + " that are not held");
  }
  return most_positions(axis.support);
}

void check_params(const SampleParams& params, int side, int size, int grid) {
  if (params.turn > 3) refuse("a picture is turned by 0 … 3 quarters");
  if (params.blur != 0 && side < 3) refuse("blur needs at least 3 × 3 pixels");
  if (params.down_scale < 0 || params.down_scale > side) {
    refuse("the side on the way must be 0 … " + std::to_string(side) + ", got " +
           std::to_string(params.down_scale));
  }
  const int tiles = params.puzzled != 0 ? grid * grid : 0;
  for (int cell = 0; cell < tiles; ++cell) {
    if (params.permutation[cell] >= tiles || params.turns[cell] > 3) {
      refuse("a tile number must be below grid² and a turn below 4");
    }
  }
  const Rect& hidden = params.cutout;
  if (hidden.x0 < 0 || hidden.y0 < 0 || hidden.x1 > size || hidden.y1 > size) {
    refuse("a cutout must lie inside the image");
  }
}

Job make_job(const DecodedSource& source, const SampleParams& params, int size, int grid) {
  Job job{};
  job.params = params;
  job.side = canvas_side(size, grid, params.puzzled != 0);
  check_params(params, job.side, size, grid);
  place_pixels(source, params.turn, job);
  Plane turned;
  turned.full_height = job.full_height;
  turned.full_width = job.full_width;
  turned.scale_x = turned.scale_y = 1.0F / static_cast<float>(source.denominator);
  const Box box = turned_box(params.box, params.turn, turned);
  // Exact: the denominator is a power of two.
  job.box = {box.x0 * turned.scale_x, box.y0 * turned.scale_y, box.x1 * turned.scale_x,
             box.y1 * turned.scale_y};
  job.row_taps = check_axis(job.box.y0, job.box.y1, job.full_height, job.side, job.first_row,
                            job.last_row, "rows");
  job.column_taps = check_axis(job.box.x0, job.box.x1, job.full_width, job.side, job.first_column,
                               job.last_column, "columns");
  if (params.down_scale > 0) {
    job.down_taps = most_positions(make_axis(0, job.side, job.side, params.down_scale).support);
  }
  return job;
}

std::int64_t aligned(std::int64_t bytes) {
  return blocks_for(bytes, Workspace::kAlignment) * Workspace::kAlignment;
}

// Lays out the memory for the jobs, whose tables begin where `add_weights` has put them.
void lay_out(const std::vector<Job>& jobs, std::int64_t weights, Workspace& workspace) {
  const auto count = static_cast<std::int64_t>(jobs.size());
  for (const Job& job : jobs) {
    workspace.most_side = std::max(workspace.most_side, job.side);
    if (job.side == 0) continue;
    workspace.most_small = std::max(workspace.most_small, job.params.down_scale);
    workspace.has_blur |= job.params.blur != 0;
    workspace.has_noise |= job.params.noise_scale != 0;
  }
  const auto image_bytes = [](std::int64_t side) { return aligned(3 * side * side); };
  workspace.canvas_bytes = image_bytes(workspace.most_side);
  workspace.small_bytes = image_bytes(workspace.most_small);
  const auto take = [&workspace](std::int64_t bytes) {
    const std::int64_t at = workspace.bytes;
    workspace.bytes += aligned(bytes);
    return at;
  };
  workspace.jobs = take(count * static_cast<std::int64_t>(sizeof(Job)));
  workspace.firsts =
      take(count * kAxes * workspace.most_side * static_cast<std::int64_t>(sizeof(std::int32_t)));
  workspace.weights = take(weights * static_cast<std::int64_t>(sizeof(std::int16_t)));
  workspace.canvas = take(count * workspace.canvas_bytes);
  workspace.other = take(workspace.has_blur ? count * workspace.canvas_bytes : 0);
  workspace.small = take(count * workspace.small_bytes);
}

}  // namespace

Plan make_plan(const DecodedSource* sources, const SampleParams* params, const bool* valid,
               std::size_t samples, int views, int size, int grid) {
  if (size < 1 || grid < 1 || grid > kMaxGrid || views < 1 || views > kMaxViews) {
    refuse("a batch needs a size of 1 or more, a grid of 1 … " + std::to_string(kMaxGrid) +
           " and 1 … " + std::to_string(kMaxViews) + " views, got size " + std::to_string(size) +
           ", grid " + std::to_string(grid) + " and " + std::to_string(views) + " views");
  }
  Plan plan;
  plan.views = views;
  plan.size = size;
  plan.grid = grid;
  plan.jobs.reserve(samples * static_cast<std::size_t>(views));
  std::int64_t weights = 0;
  for (std::size_t sample = 0; sample < samples; ++sample) {
    for (int view = 0; view < views; ++view, ++params) {
      Job job{};
      if (valid[sample]) job = make_job(sources[sample], *params, size, grid);
      job.weights = weights;
      weights += static_cast<std::int64_t>(job.side) *
                     (job.row_taps + job.column_taps + (job.down_taps > 0 ? kUpTaps : 0)) +
                 static_cast<std::int64_t>(job.params.down_scale) * job.down_taps;
      plan.jobs.push_back(job);
    }
  }
  lay_out(plan.jobs, weights, plan.workspace);
  return plan;
}

}  // namespace hmtl::cuda
