// The kernel that makes of a batch's bytes the floats that a network takes; see `normalize`.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#include "block.h"
#include "normalize.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

namespace hmtl::cuda {

enum class FloatType : std::int32_t { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2 };

// A float in 16 bits, rounded to the nearest, ties to even.
HMTL_BOTH inline std::uint16_t to_half(float value, FloatType type) {
#ifdef __CUDA_ARCH__
  return type == FloatType::kBFloat16 ? __bfloat16_as_ushort(__float2bfloat16_rn(value))
                                      : __half_as_ushort(__float2half_rn(value));
#else
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  // Normalized pixels are normal numbers or 0 in both types: no overflow, no NaN, and where the
  // exponent is too small for a float16, as for the nearest of them to 0, the significand shifts.
  if (type == FloatType::kBFloat16) {
    return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
  const auto sign = static_cast<std::uint32_t>(bits >> 16 & 0x8000);
  const int exponent = static_cast<int>(bits >> 23 & 0xFF) - 127;
  if (exponent < -25) return static_cast<std::uint16_t>(sign);
  const std::uint32_t significand = (bits & 0x7FFFFF) | 0x800000;
  const int shift = exponent < -14 ? 13 + (-14 - exponent) : 13;
  const std::uint32_t half = std::uint32_t{1} << (shift - 1);
  std::uint32_t rounded = significand >> shift;
  const std::uint32_t rest = significand & (2 * half - 1);
  if (rest > half || (rest == half && (rounded & 1) != 0)) ++rounded;
  // A carry out of the significand is the next exponent.
  const std::uint32_t biased = exponent < -14 ? 0 : static_cast<std::uint32_t>(exponent + 14) << 10;
  return static_cast<std::uint16_t>(sign | (biased + rounded));
#endif
}

// out[i] = in[i] · scale + offset of its channel, for interleaved RGB. Both are rounded, as on the
// host, so that float32 is equal to the bit and the others are what that is rounded to.
struct NormalizePixels {
  static constexpr int kThreads = 256;
  struct Shared {};

  const std::uint8_t* rgb;
  void* out;
  FloatType type;
  std::int64_t pixels;
  float scale[3], offset[3];

  std::int64_t blocks() const { return blocks_for(blocks_for(pixels, kPixels), kThreads); }

  HMTL_BOTH void operator()(Block<kThreads> block, std::int64_t number, Shared&) const {
    block.step([&](int thread) {
      const std::int64_t first = (number * kThreads + thread) * kPixels;
      if (first >= pixels) return;
      const std::int64_t left = pixels - first;
      if (left >= kPixels) {
        convert<kPixels>(first);
      } else {
        for (std::int64_t pixel = first; pixel < pixels; ++pixel) convert<1>(pixel);
      }
    });
  }

 private:
  // Four pixels are three words of bytes and three or six of floats.
  static constexpr int kPixels = 4;

  template <int kCount>
  HMTL_BOTH void convert(std::int64_t pixel) const {
    constexpr int kSamples = 3 * kCount;
    const std::int64_t first = 3 * pixel;
    std::uint8_t in[kSamples];
    copy<kSamples, kCount == 1 ? 1 : 4>(in, rgb + first);
    float floats[kSamples];
    HMTL_UNROLL
    for (int i = 0; i < kSamples; ++i) {
      floats[i] = static_cast<float>(in[i]) * scale[i % 3] + offset[i % 3];
    }
    if (type == FloatType::kFloat32) {
      copy<sizeof floats, kCount == 1 ? 4 : 16>(static_cast<float*>(out) + first, floats);
      return;
    }
    std::uint16_t halves[kSamples];
    HMTL_UNROLL
    for (int i = 0; i < kSamples; ++i) halves[i] = to_half(floats[i], type);
    copy<sizeof halves, kCount == 1 ? 2 : 8>(static_cast<std::uint16_t*>(out) + first, halves);
  }

  // Copies between memory and registers in pieces as large as the alignment.
  template <std::size_t kBytes, std::size_t kPiece>
  HMTL_BOTH static void copy(void* to, const void* from) {
    HMTL_UNROLL
    for (std::size_t i = 0; i < kBytes; i += kPiece) {
      std::memcpy(__builtin_assume_aligned(static_cast<char*>(to) + i, kPiece),
                  __builtin_assume_aligned(static_cast<const char*>(from) + i, kPiece), kPiece);
    }
  }
};

inline NormalizePixels normalize_pixels(const std::uint8_t* rgb, void* out, FloatType type,
                                        std::int64_t pixels) {
  NormalizePixels kernel = {rgb, out, type, pixels, {}, {}};
  for (int c = 0; c < 3; ++c) {
    kernel.scale[c] = normalize_scale(c);
    kernel.offset[c] = normalize_offset(c);
  }
  return kernel;
}

// The type of a name as PyTorch has it. Throws std::invalid_argument for others.
inline FloatType float_type(const std::string& name) {
  if (name == "float32") return FloatType::kFloat32;
  if (name == "float16") return FloatType::kFloat16;
  if (name == "bfloat16") return FloatType::kBFloat16;
  throw std::invalid_argument("normalized pixels are float32, float16 or bfloat16, got " + name);
}

}  // namespace hmtl::cuda
