// Noise that is nearly Gaussian, a pure function of seed, view, sample and epoch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "image.h"

namespace hmtl {

// Which of Philox' numbers a view's noise is made of: the key, and the counter behind the block.
struct NoiseSource {
  std::uint32_t key[2];
  std::uint32_t counter[3];
};

// The factor that gives noise of a standard deviation, a share of the range 0 … 255 in [0, 1].
std::int32_t noise_scale(double deviation);

// Adds noise to interleaved RGB without padding between the rows, in place; see Note [Noise]. The
// scale is that of `noise_scale`.
void add_noise(const NoiseSource& source, std::int32_t scale, MutableImageView rgb);

// The same with one of the `noise_kernels`, for the tests that hold them equal.
void add_noise(const std::string& kernel, const NoiseSource& source, std::int32_t scale,
               MutableImageView rgb);

// What this machine can run, from the plain loops to the fastest.
std::vector<std::string> noise_kernels();

}  // namespace hmtl
