// Stages that move pixels or hide them, and the labels that tell what was moved.
#pragma once

#include <cstdint>

#include "image.h"
#include "pixel_math.h"

namespace hmtl {

constexpr int kMaxGrid = 8;
constexpr int kMaxTiles = kMaxGrid * kMaxGrid;

// Side of a tile: the canvas of grid × grid tiles covers an output of `size`.
constexpr int tile_side(int size, int grid) { return (size + grid - 1) / grid; }

// Side of what is rendered for an output of `size`: that of all tiles where they are to be moved.
constexpr int canvas_side(int size, int grid, bool puzzled) {
  return puzzled ? grid * tile_side(size, grid) : size;
}

// Puts tile `permutation[cell]` of the square `canvas`, turned counter-clockwise by `turns[cell]`
// quarter turns, into cell `cell` of `dst`; cells and tiles are numbered by rows. `dst` gets the
// first rows and columns of the tiled canvas. The labels that describe the result are written to
// `permutation_label` and `turns_label`, grid² numbers each. Labels and pixels leave together.
void tile(ImageView canvas, int grid, const std::uint8_t* permutation, const std::uint8_t* turns,
          MutableImageView dst, std::int64_t* permutation_label, std::int64_t* turns_label);

// The labels of an image that was not tiled.
void untiled_labels(int grid, std::int64_t* permutation_label, std::int64_t* turns_label);

// Mirrors interleaved RGB left-right, in place.
void mirror(MutableImageView rgb);

// Half-open pixel rectangle of the output; empty where x0 == x1.
struct Rect {
  std::int16_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
};

// What hides: ImageNet's mean colour.
HMTL_BOTH constexpr std::uint8_t cutout_color(int channel) {
  return channel == 0 ? 124 : (channel == 1 ? 116 : 104);
}

// Fills `rect` with a colour that is (nearly) 0 for the network, as in DeVries and Taylor,
// "Improved regularization of convolutional neural networks with cutout", 2017.
void cutout(MutableImageView rgb, const Rect& rect);

}  // namespace hmtl
