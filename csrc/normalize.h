// uint8 pixels to the floats a network takes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hmtl {

// out[i] = in[i] · scale + offset of its channel, for interleaved RGB with ImageNet's mean (0.485,
// 0.456, 0.406) and deviation (0.229, 0.224, 0.225). Product and sum are rounded separately, so
// that the result does not depend on the instruction set.
void normalize(const std::uint8_t* rgb, float* out, std::size_t pixels);

// The scale and offset of a channel, as `normalize` uses them.
float normalize_scale(int channel);
float normalize_offset(int channel);

}  // namespace hmtl
