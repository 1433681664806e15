// How kernels are written, so that the device and, for the tests, the host run the same lines.
#pragma once

#include <cstdint>

#include "pixel_math.h"

namespace hmtl::cuda {

// Note [Kernels on the host]
// A kernel is a functor that works off one block: a sequence of steps, each of which all threads of
// the block take before any takes the next. `Block::step` runs the step of the calling thread and
// waits for the others on a device; on the host it loops over the threads. What a thread keeps from
// step to step is a `PerThread`, what they share is in the kernel's `Shared`. A machine without a
// GPU thereby tests all of a kernel; also that no thread reads in a step what another writes in the
// same, which the order of the loop, forwards or backwards, would show.
template <int kThreads>
struct Block {
  bool backwards = false;  // on the host: the last thread comes first

  template <typename Step>
  HMTL_BOTH void step(Step&& take) const {
#ifdef __CUDA_ARCH__
    take(static_cast<int>(threadIdx.x));
    __syncthreads();
#else
    for (int i = 0; i < kThreads; ++i) take(backwards ? kThreads - 1 - i : i);
#endif
  }
};

// One value for each thread of a block.
template <typename T, int kThreads>
class PerThread {
 public:
#ifdef __CUDA_ARCH__
  HMTL_BOTH T& of(int) { return value_; }

 private:
  T value_;
#else
  HMTL_BOTH T& of(int thread) { return values_[thread]; }

 private:
  T values_[kThreads];
#endif
};

// As many blocks as are needed for so many things.
HMTL_BOTH constexpr std::int64_t blocks_for(std::int64_t things, std::int64_t per_block) {
  return (things + per_block - 1) / per_block;
}

}  // namespace hmtl::cuda
