#include "tile.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace hmtl {
namespace {

struct Pixel {
  std::uint8_t channels[3];
};
static_assert(sizeof(Pixel) == 3);

// Copies the first height × width pixels of the tile at (top, left), turned counter-clockwise.
void copy_turned(ImageView canvas, int top, int left, int side, int turns, MutableImageView dst,
                 int y0, int x0) {
  const int height = std::min(side, dst.height - y0);
  const int width = std::max(0, std::min(side, dst.width - x0));
  for (int y = 0; y < height; ++y) {
    Pixel* out = reinterpret_cast<Pixel*>(dst.row(y0 + y)) + x0;
    if (turns == 0) {
      std::memcpy(out, canvas.row(top + y) + 3 * left, 3 * static_cast<std::size_t>(width));
      continue;
    }
    for (int x = 0; x < width; ++x) {
      // Row and column of the unturned tile that a counter-clockwise turn brings to (y, x).
      const int row = turns == 1 ? x : (turns == 2 ? side - 1 - y : side - 1 - x);
      const int column = turns == 1 ? side - 1 - y : (turns == 2 ? side - 1 - x : y);
      out[x] = reinterpret_cast<const Pixel*>(canvas.row(top + row))[left + column];
    }
  }
}

}  // namespace

void tile(ImageView canvas, int grid, const std::uint8_t* permutation, const std::uint8_t* turns,
          MutableImageView dst, std::int64_t* permutation_label, std::int64_t* turns_label) {
  const int side = tile_side(dst.height, grid);
  if (dst.height != dst.width || canvas.height != grid * side || canvas.width != grid * side) {
    throw std::invalid_argument(
        "a canvas of " + std::to_string(grid) + " × " + std::to_string(grid) + " tiles for size " +
        std::to_string(dst.height) + " has side " + std::to_string(grid * side) + ", got " +
        std::to_string(canvas.height) + " × " + std::to_string(canvas.width));
  }
  const int tiles = grid * grid;
  for (int cell = 0; cell < tiles; ++cell) {
    const int source = permutation[cell], quarter_turns = turns[cell];
    if (source >= tiles || quarter_turns > 3) {
      throw std::invalid_argument("a tile number must be below grid² and a turn below 4");
    }
    copy_turned(canvas, source / grid * side, source % grid * side, side, quarter_turns, dst,
                cell / grid * side, cell % grid * side);
    permutation_label[cell] = source;
    turns_label[cell] = quarter_turns;
  }
}

void untiled_labels(int grid, std::int64_t* permutation_label, std::int64_t* turns_label) {
  for (int cell = 0; cell < grid * grid; ++cell) {
    permutation_label[cell] = cell;
    turns_label[cell] = 0;
  }
}

void mirror(MutableImageView rgb) {
  for (int y = 0; y < rgb.height; ++y) {
    Pixel* row = reinterpret_cast<Pixel*>(rgb.row(y));
    std::reverse(row, row + rgb.width);
  }
}

void cutout(MutableImageView rgb, const Rect& rect) {
  constexpr Pixel kMean = {{124, 116, 104}};
  if (rect.x0 < 0 || rect.y0 < 0 || rect.x1 > rgb.width || rect.y1 > rgb.height) {
    throw std::invalid_argument("a cutout must lie inside the image");
  }
  for (int y = rect.y0; y < rect.y1; ++y) {
    Pixel* row = reinterpret_cast<Pixel*>(rgb.row(y));
    std::fill(row + rect.x0, row + std::max(rect.x0, rect.x1), kMean);
  }
}

}  // namespace hmtl
