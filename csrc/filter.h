// Blur.
#pragma once

#include <cstdint>
#include <vector>

#include "image.h"

namespace hmtl {

struct FilterScratch {
  std::vector<std::uint8_t> line;
  std::vector<std::uint16_t> sums;
};

// Blurs interleaved RGB in place with the binomial kernel 1 4 6 4 1 (a Gaussian of deviation 1) in
// both directions, rounded once; the image is reflected about its border pixels.
void blur(MutableImageView rgb, FilterScratch& scratch);

}  // namespace hmtl
