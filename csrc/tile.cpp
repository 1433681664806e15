#include "tile.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "pixel_math.h"

namespace hmtl {
namespace {

struct Pixel {
  std::uint8_t channels[3];
};
static_assert(sizeof(Pixel) == 3);

// Writes the first `width` pixels of row `y` of the tile at (top, left), turned counter-clockwise.
void copy_turned_row(ImageView canvas, int top, int left, int side, int turns, int y, int width,
                     std::uint8_t* dst) {
  if (turns == 0) {
    std::memcpy(dst, canvas.row(top + y) + 3 * left, 3 * static_cast<std::size_t>(width));
    return;
  }
  Pixel* const out = reinterpret_cast<Pixel*>(dst);
  for (int x = 0; x < width; ++x) {
    const int row = row_before_turns(turns, side, y, x);
    const int column = column_before_turns(turns, side, y, x);
    out[x] = reinterpret_cast<const Pixel*>(canvas.row(top + row))[left + column];
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
    permutation_label[cell] = source;
    turns_label[cell] = quarter_turns;
  }
  // Whole rows from the first to the last, as memory is written fastest.
  for (int y = 0; y < dst.height; ++y) {
    for (int x = 0; x < dst.width; x += side) {
      const int cell = y / side * grid + x / side, source = permutation[cell];
      copy_turned_row(canvas, source / grid * side, source % grid * side, side, turns[cell],
                      y % side, std::min(side, dst.width - x), dst.row(y) + 3 * x);
    }
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
  constexpr Pixel kMean = {{cutout_color(0), cutout_color(1), cutout_color(2)}};
  if (rect.x0 < 0 || rect.y0 < 0 || rect.x1 > rgb.width || rect.y1 > rgb.height) {
    throw std::invalid_argument("a cutout must lie inside the image");
  }
  for (int y = rect.y0; y < rect.y1; ++y) {
    Pixel* row = reinterpret_cast<Pixel*>(rgb.row(y));
    std::fill(row + rect.x0, row + std::max(rect.x0, rect.x1), kMean);
  }
}

}  // namespace hmtl
