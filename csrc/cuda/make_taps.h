// The kernel that makes the weights of resampling, one thread for each output sample of an axis.
#pragma once

#include <cstdint>

#include "batch.h"
#include "block.h"
#include "taps_math.h"

namespace hmtl::cuda {

struct MakeTaps {
  static constexpr int kThreads = 128;
  struct Shared {};

  DeviceBatch batch;

  std::int64_t blocks() const {
    return blocks_for(batch.job_count * kAxes * batch.workspace.most_side, kThreads);
  }

  HMTL_BOTH void operator()(Block<kThreads> block, std::int64_t number, Shared&) const {
    block.step([&](int thread) { make(number * kThreads + thread); });
  }

 private:
  // Throws no exceptions and reads no sizes that the plan has not checked.
  HMTL_BOTH void make(std::int64_t number) const {
    const std::int64_t job_number = number / (kAxes * batch.workspace.most_side);
    if (job_number >= batch.job_count) return;
    const int axis = static_cast<int>(number / batch.workspace.most_side % kAxes);
    const int sample = static_cast<int>(number % batch.workspace.most_side);
    const Job& job = batch.job(job_number);
    const std::int32_t side = job.side, small = job.params.down_scale;
    if (side == 0 || (axis >= kDown && small == 0)) return;
    const int out = axis == kDown ? small : side;
    if (sample >= out) return;
    double from = 0, to = axis == kDown ? side : small;
    int length = axis == kDown ? side : small, taps = axis == kDown ? job.down_taps : kUpTaps;
    if (axis == kRows) {
      from = job.box.y0, to = job.box.y1, length = job.full_height, taps = job.row_taps;
    } else if (axis == kColumns) {
      from = job.box.x0, to = job.box.x1, length = job.full_width, taps = job.column_taps;
    }
    std::int16_t* const weights =
        batch.weights(job, axis) + static_cast<std::int64_t>(sample) * taps;
    batch.firsts(job_number, axis)[sample] =
        weigh(make_axis(from, to, length, out), sample, length, taps, weights);
  }

  // Returns the position that the first weight is for; samples outside the image are black.
  HMTL_BOTH static std::int32_t weigh(const Axis& axis, int sample, int length, int taps,
                                      std::int16_t* weights) {
    const double centre = filter_centre(axis, sample), first = filter_first(axis, centre);
    const int count = static_cast<int>(filter_last(axis, centre) - first);
    double total = 0;
    for (int k = 0; k < count; ++k) total += share(axis, first + k, centre);
    std::int32_t missing = 1 << kWeightBits, largest = 0;
    int place = 0;
    for (int k = 0; k < count; ++k) {
      const std::int32_t weight = rounded_weight(share(axis, first + k, centre), total);
      weights[k] = static_cast<std::int16_t>(weight);
      missing -= weight;
      if (weight > largest) {
        largest = weight;
        place = k;
      }
    }
    weights[place] = static_cast<std::int16_t>(largest + missing);
    for (int k = 0; k < taps; ++k) {
      if (k >= count || first + k < 0 || first + k >= length) weights[k] = 0;
    }
    return static_cast<std::int32_t>(first);
  }

  HMTL_BOTH static double share(const Axis& axis, double position, double centre) {
    const double weight = 1.0 - filter_distance(position, centre) / axis.support;
    return weight > 0.0 ? weight : 0.0;
  }
};

}  // namespace hmtl::cuda
