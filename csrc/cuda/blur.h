// The kernel that blurs: `blur` of the host, from the canvas to another.
#pragma once

#include <cstdint>

#include "batch.h"
#include "block.h"
#include "pixel_math.h"

namespace hmtl::cuda {

struct Blur {
  static constexpr int kSide = 16, kThreads = kSide * kSide;
  static constexpr int kReach = 2, kWithMargin = kSide + 2 * kReach;

  struct Shared {
    std::uint8_t pixels[kWithMargin][3 * kWithMargin];
    std::uint16_t sums[kWithMargin][3 * kSide];
  };

  DeviceBatch batch;

  std::int64_t blocks() const { return batch.job_count * tiles(); }

  HMTL_BOTH void operator()(Block<kThreads> block, std::int64_t number, Shared& shared) const {
    const std::int64_t job_number = number / tiles(), tile = number % tiles();
    const std::int64_t across = blocks_for(batch.workspace.most_side, kSide);
    const Job& job = batch.job(job_number);
    const int top = static_cast<int>(tile / across) * kSide;
    const int left = static_cast<int>(tile % across) * kSide;
    const int side = job.side;
    if (job.params.blur == 0 || top >= side || left >= side) return;
    const std::uint8_t* const canvas = batch.canvas(job_number);
    std::uint8_t* const out = batch.blurred_canvas(job_number);
    block.step([&](int thread) { load(canvas, side, top, left, thread, shared); });
    block.step([&](int thread) { sum_along(thread, shared); });
    block.step([&](int thread) {
      const int row = thread / kSide, column = thread % kSide;
      const int y = top + row, x = left + column;
      if (y >= side || x >= side) return;
      for (int c = 0; c < 3; ++c) {
        const auto sum = [&](int k) { return shared.sums[row + k][3 * column + c]; };
        out[3 * (y * side + x) + c] = blurred(binomial(sum(0) + sum(4), sum(1) + sum(3), sum(2)));
      }
    });
  }

 private:
  HMTL_BOTH std::int64_t tiles() const {
    const std::int64_t across = blocks_for(batch.workspace.most_side, kSide);
    return across * across;
  }

  // Beyond the reach of the image's border nothing is looked at.
  HMTL_BOTH static int source(int i, int side) {
    const int inside = reflected(i, side);
    return inside < 0 ? 0 : (inside < side ? inside : side - 1);
  }

  HMTL_BOTH static void load(const std::uint8_t* canvas, int side, int top, int left, int thread,
                             Shared& shared) {
    constexpr int kRow = 3 * kWithMargin;
    for (int i = thread; i < kWithMargin * kRow; i += kThreads) {
      const int y = source(top + i / kRow - kReach, side);
      const int x = source(left + i % kRow / 3 - kReach, side);
      shared.pixels[i / kRow][i % kRow] = canvas[3 * (y * side + x) + i % 3];
    }
  }

  HMTL_BOTH static void sum_along(int thread, Shared& shared) {
    constexpr int kRow = 3 * kSide;
    for (int i = thread; i < kWithMargin * kRow; i += kThreads) {
      const std::uint8_t* const p = shared.pixels[i / kRow] + i % kRow;
      shared.sums[i / kRow][i % kRow] =
          static_cast<std::uint16_t>(binomial(p[0] + p[12], p[3] + p[9], p[6]));
    }
  }
};

}  // namespace hmtl::cuda
