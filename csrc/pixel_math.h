// The arithmetic of single pixels, one statement of it for host and device.
#pragma once

#include <cstdint>

// In front of what a CUDA compiler builds for both.
#ifdef __CUDACC__
#define HMTL_BOTH __host__ __device__
#else
#define HMTL_BOTH
#endif

// In front of a loop over an array that a device is to keep in registers.
#ifdef __CUDA_ARCH__
#define HMTL_UNROLL _Pragma("unroll")
#else
#define HMTL_UNROLL
#endif

namespace hmtl {

HMTL_BOTH constexpr std::uint8_t clip_to_byte(std::int32_t value) {
  return static_cast<std::uint8_t>(value < 0 ? 0 : (value > 255 ? 255 : value));
}

// Weights of resampling sum to 1 << kWeightBits: an 8-bit sample times a weight leaves room for the
// sum in 32 bits.
constexpr int kWeightBits = 14;
constexpr std::int32_t kWeightHalf = 1 << (kWeightBits - 1);

// A sum of weighted samples, with the half that rounds in it. Beyond all measure of reach, rounding
// may make a weight so negative that a sum leaves 0 … 255.
HMTL_BOTH constexpr std::uint8_t resampled(std::int32_t sum) {
  return clip_to_byte(sum >> kWeightBits);
}

// Bits after the point of a colour matrix: with brightness, contrast and saturation of up to 4 each
// and any hue, coefficients stay within ±88, so that three products of them with 8-bit samples and
// an offset fit into 32 bits.
constexpr int kColorBits = 12;
constexpr std::int32_t kColorHalf = 1 << (kColorBits - 1);

// One channel of a colour matrix' product; `row` is its row of the matrix.
HMTL_BOTH constexpr std::uint8_t colored(const std::int32_t (&row)[4], std::int32_t a,
                                         std::int32_t b, std::int32_t c) {
  return clip_to_byte((row[0] * a + row[1] * b + row[2] * c + row[3] + kColorHalf) >> kColorBits);
}

// The binomial kernel 1 4 6 4 1 from the sums of the samples at each distance; 16 each way.
HMTL_BOTH constexpr std::int32_t binomial(std::int32_t outer, std::int32_t inner,
                                          std::int32_t centre) {
  return outer + 4 * inner + 6 * centre;
}

// A sample from what the kernel gave both ways, rounded once.
HMTL_BOTH constexpr std::uint8_t blurred(std::int32_t sum) {
  return static_cast<std::uint8_t>((sum + 128) >> 8);
}

// The sample that stands for number `i` of 0 … length - 1, reflected about the border samples.
HMTL_BOTH constexpr int reflected(int i, int length) {
  return i < 0 ? -i : (i >= length ? 2 * (length - 1) - i : i);
}

// A sample with noise of `n`, a sum of eight; see Note [Noise].
constexpr int kNoiseScaleBits = 15;
HMTL_BOTH constexpr std::uint8_t noisy(std::uint8_t sample, std::int32_t n, std::int32_t scale) {
  constexpr std::int32_t kHalf = 1 << (kNoiseScaleBits - 1);
  return clip_to_byte(sample + ((n * scale + kHalf) >> kNoiseScaleBits));
}

// Row and column of a square tile that counter-clockwise quarter turns bring to (y, x).
HMTL_BOTH constexpr int row_before_turns(int turns, int side, int y, int x) {
  return turns == 0 ? y : (turns == 1 ? x : (turns == 2 ? side - 1 - y : side - 1 - x));
}
HMTL_BOTH constexpr int column_before_turns(int turns, int side, int y, int x) {
  return turns == 0 ? x : (turns == 1 ? side - 1 - y : (turns == 2 ? side - 1 - x : y));
}

}  // namespace hmtl
