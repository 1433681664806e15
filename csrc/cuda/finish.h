// The kernel that finishes a batch: tiles, cutout, the output, and the labels that tell what moved.
#pragma once

#include <cstdint>

#include "batch.h"
#include "block.h"
#include "pixel_math.h"
#include "tile.h"

namespace hmtl::cuda {

struct Finish {
  static constexpr int kThreads = 256;
  struct Shared {};

  DeviceBatch batch;

  std::int64_t blocks() const { return batch.job_count * of_job(); }

  HMTL_BOTH void operator()(Block<kThreads> block, std::int64_t number, Shared&) const {
    const std::int64_t job_number = number / of_job(), part = number % of_job();
    const Job& job = batch.job(job_number);
    block.step([&](int thread) {
      if (part == 0) write_labels(job, job_number, thread);
      const std::int64_t pixel = part * kThreads + thread;
      if (pixel < static_cast<std::int64_t>(batch.size) * batch.size) {
        write_pixel(job, job_number, static_cast<int>(pixel));
      }
    });
  }

 private:
  HMTL_BOTH std::int64_t of_job() const {
    return blocks_for(static_cast<std::int64_t>(batch.size) * batch.size, kThreads);
  }

  HMTL_BOTH void write_labels(const Job& job, std::int64_t job_number, int thread) const {
    const int tiles = batch.grid * batch.grid;
    if (thread >= tiles) return;
    const std::int64_t at = job_number * tiles + thread;
    const bool moved = job.side != 0 && job.params.puzzled != 0;
    batch.permutation[at] = moved ? job.params.permutation[thread] : (job.side != 0 ? thread : 0);
    batch.turns[at] = moved ? job.params.turns[thread] : 0;
  }

  HMTL_BOTH void write_pixel(const Job& job, std::int64_t job_number, int pixel) const {
    const std::int64_t sample = job_number / batch.views;
    const auto bytes = static_cast<std::int64_t>(batch.size) * batch.size * 3;
    std::uint8_t* const out =
        batch.images[job_number % batch.views] + sample * bytes + std::int64_t{3} * pixel;
    if (job.side == 0) {
      out[0] = out[1] = out[2] = 0;
      return;
    }
    const int y = pixel / batch.size, x = pixel % batch.size;
    const Rect& hidden = job.params.cutout;
    if (x >= hidden.x0 && x < hidden.x1 && y >= hidden.y0 && y < hidden.y1) {
      for (int c = 0; c < 3; ++c) out[c] = cutout_color(c);
      return;
    }
    const std::uint8_t* const from = batch.blurred_canvas(job_number) + 3 * source(job, y, x);
    for (int c = 0; c < 3; ++c) out[c] = from[c];
  }

  // Which pixel of the canvas comes to (y, x) of the output.
  HMTL_BOTH int source(const Job& job, int y, int x) const {
    if (job.params.puzzled == 0) return y * job.side + x;
    const int side = job.side / batch.grid, cell = y / side * batch.grid + x / side;
    const int from = job.params.permutation[cell], turns = job.params.turns[cell];
    const int row = from / batch.grid * side + row_before_turns(turns, side, y % side, x % side);
    const int column =
        from % batch.grid * side + column_before_turns(turns, side, y % side, x % side);
    return row * job.side + column;
  }
};

}  // namespace hmtl::cuda
