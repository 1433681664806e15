#include "dispatch.h"

#include <atomic>

namespace hmtl {
namespace {

std::atomic<bool> plain_kernels{false};

bool processor_has_avx2() {
#ifdef HMTL_AVX2
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
#else
  return false;
#endif
}

}  // namespace

bool use_avx2() { return processor_has_avx2() && !plain_kernels.load(std::memory_order_relaxed); }

void use_plain_kernels(bool plain) { plain_kernels.store(plain, std::memory_order_relaxed); }

}  // namespace hmtl
