// Crop and antialiased resize in one go, in 8-bit fixed point.
#pragma once

#include <cstdint>
#include <vector>

#include "color.h"
#include "decode.h"
#include "image.h"
#include "resample_rows.h"
#include "taps.h"

namespace hmtl {

// From one grid of samples to another: the rows that are summed, then the columns.
struct Grids {
  Taps rows;
  Columns columns;
};

// Memory that resampling reuses.
struct ResampleScratch {
  Grids grids[2];
  std::vector<WeightedRow> rows;
  std::vector<std::uint8_t> lines;
  Image small;
};

// Resamples `box` (in source pixels) of a decoded plane to fill `dst`, which has as many channels.
// The plane must hold all samples within max(1 sample, 1 output pixel) of the box that exist.
void crop_resize(const Plane& plane, const Box& box, std::uint8_t border, ResampleScratch& scratch,
                 MutableImageView dst);

// Resamples `box` of a picture (in pixels as stored, also where it was turned since) to fill `rgb`
// through the colour matrix, mirrored left-right or not; outside the picture lies black. The same
// as crop_resize of each plane, then apply_color or apply_color_ycc, then mirror, without the
// memory in between. A later stage's output, if it is given, is fetched into the cache on the way:
// beside so much arithmetic that takes no time, and writing it then a third.
void develop(const Picture& picture, const Box& box, const ColorMatrix& color, bool mirrored,
             ResampleScratch& scratch, MutableImageView rgb, MutableImageView later = {});

// Resizes square RGB to side × side and back, in place; each way is crop_resize of the whole image.
void down_scale(MutableImageView rgb, int side, ResampleScratch& scratch);

}  // namespace hmtl
