#include "normalize.h"

#include "dispatch.h"

namespace hmtl {
namespace {

constexpr double kMean[3] = {0.485, 0.456, 0.406};
constexpr double kDeviation[3] = {0.229, 0.224, 0.225};

// 16 pixels: a multiple of the channels and of every vector width, so that the loop over a block
// has neither gathers nor a remainder.
constexpr int kBlock = 48;

HMTL_CLONES void normalize_blocks(const std::uint8_t* in, float* out, std::size_t blocks,
                                  const float* scale, const float* offset) {
  for (std::size_t block = 0; block < blocks; ++block) {
    for (int i = 0; i < kBlock; ++i) {
      out[i] = static_cast<float>(in[i]) * scale[i] + offset[i];
    }
    in += kBlock;
    out += kBlock;
  }
}

}  // namespace

float normalize_scale(int channel) {
  return static_cast<float>(1.0 / (255.0 * kDeviation[channel]));
}

float normalize_offset(int channel) {
  return static_cast<float>(-kMean[channel] / kDeviation[channel]);
}

void normalize(const std::uint8_t* rgb, float* out, std::size_t pixels) {
  float scale[kBlock], offset[kBlock];
  for (int i = 0; i < kBlock; ++i) {
    scale[i] = normalize_scale(i % 3);
    offset[i] = normalize_offset(i % 3);
  }
  const std::size_t samples = pixels * 3, blocks = samples / kBlock;
  normalize_blocks(rgb, out, blocks, scale, offset);
  for (std::size_t i = blocks * kBlock; i < samples; ++i) {
    out[i] = static_cast<float>(rgb[i]) * scale[i % 3] + offset[i % 3];
  }
}

}  // namespace hmtl
