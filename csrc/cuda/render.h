// Rendering on a device, without any header of CUDA.
#pragma once

#include <cstddef>
#include <cstdint>

#include "batch.h"
#include "normalize_pixels.h"

namespace hmtl::cuda {

// Queues what a batch needs on a stream of the current device, which holds all its addresses;
// `stream` is a cudaStream_t. Throws std::runtime_error with CUDA's own words.
void render_on_device(const DeviceBatch& batch, std::uintptr_t stream);

// The same for pixels that a network is to take.
void normalize_on_device(const NormalizePixels& kernel, std::uintptr_t stream);

// The number of devices that can be used; 0 where there is none, or no driver.
int device_count();

}  // namespace hmtl::cuda
