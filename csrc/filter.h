// Stages that lose detail: blur, and down-scaling with the way back.
#pragma once

#include <cstdint>
#include <vector>

#include "image.h"
#include "resample.h"

namespace hmtl {

struct FilterScratch {
  Image small, copy;
  std::vector<std::uint16_t> sums;
  ResampleScratch resample;
};

// Blurs interleaved RGB in place with the binomial kernel 1 4 6 4 1 (a Gaussian of deviation 1) in
// both directions, rounded once; the image is reflected about its border pixels.
void blur(MutableImageView rgb, FilterScratch& scratch);

// Resizes square RGB to side × side and back, in place.
void down_scale(MutableImageView rgb, int side, FilterScratch& scratch);

}  // namespace hmtl
