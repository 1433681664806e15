#include "render.h"

#include <cuda_runtime.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "block.h"
#include "stages.h"

namespace hmtl::cuda {
namespace {

void check(cudaError_t error) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(error));
  }
}

template <typename Kernel>
__global__ void __launch_bounds__(Kernel::kThreads) run(const __grid_constant__ Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  kernel(Block<Kernel::kThreads>{}, blockIdx.x, shared);
}

template <typename Kernel>
void launch(const Kernel& kernel, std::uintptr_t stream) {
  const std::int64_t blocks = kernel.blocks();
  if (blocks == 0) return;
  if (blocks > std::numeric_limits<std::int32_t>::max()) {
    throw std::invalid_argument("a batch is too large for one launch: it needs " +
                                std::to_string(blocks) + " blocks");
  }
  run<<<static_cast<unsigned>(blocks), Kernel::kThreads, 0,
        reinterpret_cast<cudaStream_t>(stream)>>>(kernel);
  check(cudaGetLastError());
}

}  // namespace

void render_on_device(const DeviceBatch& batch, std::uintptr_t stream) {
  render(batch, [stream](const auto& kernel) { launch(kernel, stream); });
}

void normalize_on_device(const NormalizePixels& kernel, std::uintptr_t stream) {
  launch(kernel, stream);
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace hmtl::cuda
