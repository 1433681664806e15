#include "noise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "dispatch.h"
#include "noise_kernels.h"
#include "philox.h"
#include "pixel_math.h"

// Note [Noise]
// ~~~~~~~~~~~~
// A sum of eight random bytes is nearly Gaussian, and the eight rows of a Hadamard matrix give
// eight such sums of the same bytes that are uncorrelated: one byte for each sample instead of
// eight.
//
// The samples of an image in memory order fall into blocks of 128, the last of which is cut. Block
// b takes the Philox words of the counters 8·b + j, j = 0 … 7. The four words of a counter, each
// from its lowest byte on, are the bytes B[j][l], l = 0 … 15. With s = 2·B - 255, which is
// symmetric about 0, and H the 8 × 8 Hadamard matrix of Sylvester, n[k][l] = Σ_j H[k][j]·s[j][l] is
// added to sample 128·b + 16·k + l as (n·scale + 2¹⁴) >> 15, and the sum is clipped to 0 … 255.
//
// s takes 256 equidistant values: its variance is 2²·(256² - 1)/12 = (256² - 1)/3, that of n eight
// times as large. |n| ≤ 2040 and the scale of the largest deviation, 19,988, fit into 16 bits; the
// rounded product is one instruction (pmulhrsw) where there are vectors.

namespace hmtl {
namespace {

constexpr std::int32_t kMaxScale = (1 << kNoiseScaleBits) - 1;

struct NamedKernel {
  const char* name;
  NoiseKernel kernel;
};

std::vector<NamedKernel> usable_kernels() {
  std::vector<NamedKernel> kernels = {{"plain", &add_noise_plain}};
#ifdef HMTL_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2")) kernels.push_back({"avx2", &add_noise_avx2});
  if (__builtin_cpu_supports("avx512bw")) kernels.push_back({"avx512", &add_noise_avx512});
#endif
  return kernels;
}

void add_with(NoiseKernel kernel, const NoiseSource& source, std::int32_t scale,
              MutableImageView rgb) {
  if (scale < 0 || scale > kMaxScale) {
    throw std::invalid_argument("a noise scale must lie in 0 … " + std::to_string(kMaxScale) +
                                ", got " + std::to_string(scale));
  }
  if (rgb.stride != static_cast<std::ptrdiff_t>(rgb.width) * rgb.channels) {
    throw std::invalid_argument("noise needs rows without padding between them");
  }
  const std::size_t samples = static_cast<std::size_t>(rgb.height) *
                              static_cast<std::size_t>(rgb.width) *
                              static_cast<std::size_t>(rgb.channels);
  const std::size_t blocks = samples / kNoiseBlock, rest = samples % kNoiseBlock;
  kernel(source, scale, 0, blocks, rgb.data);
  if (rest == 0) return;
  std::uint8_t last[kNoiseBlock] = {};
  std::uint8_t* tail = rgb.data + blocks * kNoiseBlock;
  std::memcpy(last, tail, rest);
  kernel(source, scale, static_cast<std::uint32_t>(blocks), 1, last);
  std::memcpy(tail, last, rest);
}

}  // namespace

void add_noise_plain(const NoiseSource& source, std::int32_t scale, std::uint32_t first,
                     std::size_t blocks, std::uint8_t* samples) {
  const PhiloxKey key = {source.key[0], source.key[1]};
  PhiloxCounter counter = {first * static_cast<std::uint32_t>(kNoiseRows), source.counter[0],
                           source.counter[1], source.counter[2]};
  for (std::size_t block = 0; block < blocks; ++block, samples += kNoiseBlock) {
    std::int32_t sums[kNoiseRows][kNoiseColumns];
    for (auto& row : sums) {
      const PhiloxCounter words = philox4x32(counter, key);
      ++counter[0];
      for (std::size_t l = 0; l < kNoiseColumns; ++l) {
        row[l] = 2 * static_cast<std::int32_t>(words[l / 4] >> (8 * (l % 4)) & 0xFF) - 255;
      }
    }
    // The fast Walsh and Hadamard transform: H doubles from one step to the next.
    for (std::size_t half = 1; half < kNoiseRows; half *= 2) {
      for (std::size_t k = 0; k < kNoiseRows; ++k) {
        if (k & half) continue;
        for (std::size_t l = 0; l < kNoiseColumns; ++l) {
          const std::int32_t a = sums[k][l], b = sums[k + half][l];
          sums[k][l] = a + b;
          sums[k + half][l] = a - b;
        }
      }
    }
    for (std::size_t i = 0; i < kNoiseBlock; ++i) {
      samples[i] = noisy(samples[i], sums[i / kNoiseColumns][i % kNoiseColumns], scale);
    }
  }
}

std::int32_t noise_scale(double deviation) {
  const double variance = kNoiseRows * (256.0 * 256.0 - 1.0) / 3.0;
  return static_cast<std::int32_t>(
      std::lround(deviation * 255.0 * (1 << kNoiseScaleBits) / std::sqrt(variance)));
}

void add_noise(const NoiseSource& source, std::int32_t scale, MutableImageView rgb) {
  static const NoiseKernel kFastest = usable_kernels().back().kernel;
  add_with(use_avx2() ? kFastest : &add_noise_plain, source, scale, rgb);
}

void add_noise(const std::string& kernel, const NoiseSource& source, std::int32_t scale,
               MutableImageView rgb) {
  for (const NamedKernel& usable : usable_kernels()) {
    if (kernel == usable.name) return add_with(usable.kernel, source, scale, rgb);
  }
  throw std::invalid_argument("this machine has no noise kernel " + kernel);
}

std::vector<std::string> noise_kernels() {
  std::vector<std::string> names;
  for (const NamedKernel& usable : usable_kernels()) names.emplace_back(usable.name);
  return names;
}

}  // namespace hmtl
