// A batch as kernels see it: plain numbers and addresses of one memory, the device's or the host's.
#pragma once

#include <cstdint>
#include <vector>

#include "plan.h"
#include "tile.h"

namespace hmtl::cuda {

constexpr int kMaxViews = 64;

struct DeviceBatch {
  std::uint8_t* memory;  // as the workspace lays it out, the jobs in it
  Workspace workspace;
  std::int64_t job_count;
  std::int32_t views, size, grid;
  std::uint8_t* images[kMaxViews];  // of each view, samples × size × size × 3
  std::int64_t* permutation;        // samples × views × grid²
  std::int64_t* turns;              // the same

  HMTL_BOTH const Job& job(std::int64_t number) const {
    return reinterpret_cast<const Job*>(memory + workspace.jobs)[number];
  }

  // The input sample that each output sample of an axis begins with.
  HMTL_BOTH std::int32_t* firsts(std::int64_t job_number, int axis) const {
    return reinterpret_cast<std::int32_t*>(memory + workspace.firsts) +
           (job_number * kAxes + axis) * workspace.most_side;
  }

  // The weights of an axis, as many as its taps for each output sample.
  HMTL_BOTH std::int16_t* weights(const Job& job, int axis) const {
    const std::int64_t side = job.side;
    std::int64_t skipped = 0;
    if (axis > kRows) skipped += side * job.row_taps;
    if (axis > kColumns) skipped += side * job.column_taps;
    if (axis > kDown) skipped += static_cast<std::int64_t>(job.params.down_scale) * job.down_taps;
    return reinterpret_cast<std::int16_t*>(memory + workspace.weights) + job.weights + skipped;
  }

  // What the crop is developed to.
  HMTL_BOTH std::uint8_t* canvas(std::int64_t job_number) const {
    return memory + workspace.canvas + job_number * workspace.canvas_bytes;
  }
  // Where it lies once it may have been blurred.
  HMTL_BOTH std::uint8_t* blurred_canvas(std::int64_t job_number) const {
    if (job(job_number).params.blur == 0) return canvas(job_number);
    return memory + workspace.other + job_number * workspace.canvas_bytes;
  }
  // On its way through a smaller image.
  HMTL_BOTH std::uint8_t* small(std::int64_t job_number) const {
    return memory + workspace.small + job_number * workspace.small_bytes;
  }
};

// The batch of a plan, whose jobs the memory begins with.
inline DeviceBatch device_batch(const Plan& plan, std::uint8_t* memory,
                                const std::vector<std::uint8_t*>& images, std::int64_t* permutation,
                                std::int64_t* turns) {
  DeviceBatch batch{memory,     plan.workspace, static_cast<std::int64_t>(plan.jobs.size()),
                    plan.views, plan.size,      plan.grid,
                    {},         permutation,    turns};
  for (std::size_t view = 0; view < images.size(); ++view) batch.images[view] = images[view];
  return batch;
}

}  // namespace hmtl::cuda
