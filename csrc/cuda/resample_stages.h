// The kernels that resample: from the picture to the canvas, and from there to a side and back.
#pragma once

#include <cstdint>

#include "batch.h"
#include "block.h"
#include "resample_tile.h"

namespace hmtl::cuda {

// Which tile of which job a block works off.
struct TileOf {
  std::int64_t job;
  int top, left;
};

HMTL_BOTH inline TileOf tile_of(std::int64_t number, int side) {
  const std::int64_t across = blocks_for(side, ResampleTile::kColumns);
  const std::int64_t tiles = blocks_for(side, ResampleTile::kRows) * across;
  const std::int64_t tile = number % tiles;
  return {number / tiles, static_cast<int>(tile / across) * ResampleTile::kRows,
          static_cast<int>(tile % across) * ResampleTile::kColumns};
}

HMTL_BOTH inline TapTable tap_table(const DeviceBatch& batch, std::int64_t job_number, int axis,
                                    int taps, int out) {
  return {batch.firsts(job_number, axis), batch.weights(batch.job(job_number), axis), taps, out};
}

// Crop, resize, mirror and colours: `develop` of the host.
struct Develop {
  static constexpr int kThreads = ResampleTile::kThreads;
  using Shared = ResampleTile::Shared;

  DeviceBatch batch;

  std::int64_t blocks() const {
    return batch.job_count * ResampleTile::tiles_for(batch.workspace.most_side);
  }

  HMTL_BOTH void operator()(Block<kThreads> block, std::int64_t number, Shared& shared) const {
    const TileOf tile = tile_of(number, batch.workspace.most_side);
    const Job& job = batch.job(tile.job);
    const int side = job.side;
    if (tile.top >= side || tile.left >= side) return;
    const ResampleTile resample = {{job.origin, job.step_y, job.step_x, job.first_row, job.last_row,
                                    job.first_column, job.last_column},
                                   tap_table(batch, tile.job, kRows, job.row_taps, side),
                                   tap_table(batch, tile.job, kColumns, job.column_taps, side),
                                   tile.top,
                                   tile.left};
    std::uint8_t* const canvas = batch.canvas(tile.job);
    const bool mirrored = job.params.mirror != 0;
    const auto& matrix = job.params.color.m;
    resample(block, shared, [&](int y, int x, const std::uint8_t (&rgb)[3]) {
      std::uint8_t* const out = canvas + 3 * (y * side + (mirrored ? side - 1 - x : x));
      for (int c = 0; c < 3; ++c) out[c] = colored(matrix[c], rgb[0], rgb[1], rgb[2]);
    });
  }
};

// The canvas to a smaller image (kDown), or that back to the canvas (kUp).
template <AxisOf kWay>
struct DownScale {
  static constexpr int kThreads = ResampleTile::kThreads;
  using Shared = ResampleTile::Shared;

  DeviceBatch batch;

  HMTL_BOTH int most() const {
    return kWay == kDown ? batch.workspace.most_small : batch.workspace.most_side;
  }

  std::int64_t blocks() const { return batch.job_count * ResampleTile::tiles_for(most()); }

  HMTL_BOTH void operator()(Block<kThreads> block, std::int64_t number, Shared& shared) const {
    const TileOf tile = tile_of(number, most());
    const Job& job = batch.job(tile.job);
    const int small = job.side == 0 ? 0 : job.params.down_scale;
    const int from = kWay == kDown ? job.side : small, to = kWay == kDown ? small : job.side;
    if (small == 0 || tile.top >= to || tile.left >= to) return;
    std::uint8_t* const canvas = batch.blurred_canvas(tile.job);
    std::uint8_t* const on_the_way = batch.small(tile.job);
    const TapTable table =
        tap_table(batch, tile.job, kWay, kWay == kDown ? job.down_taps : kUpTaps, to);
    const ResampleTile resample = {square_grid(kWay == kDown ? canvas : on_the_way, from), table,
                                   table, tile.top, tile.left};
    std::uint8_t* const out = kWay == kDown ? on_the_way : canvas;
    resample(block, shared, [&](int y, int x, const std::uint8_t (&rgb)[3]) {
      for (int c = 0; c < 3; ++c) out[3 * (y * to + x) + c] = rgb[c];
    });
  }
};

}  // namespace hmtl::cuda
