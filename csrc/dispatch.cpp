#include "dispatch.h"

#include <atomic>

namespace hmtl {
namespace {

std::atomic<Kernels> limit{Kernels::kWide};

Kernels widest_here() {
#ifdef HMTL_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") == 0) return Kernels::kPlain;
  const bool has_wide = __builtin_cpu_supports("avx512bw") != 0 &&
                        __builtin_cpu_supports("avx512vbmi") != 0 &&
                        __builtin_cpu_supports("avx512vnni") != 0;
  return has_wide ? Kernels::kWide : Kernels::kAvx2;
#else
  return Kernels::kPlain;
#endif
}

bool use(Kernels kernels) {
  static const Kernels widest = widest_here();
  return widest >= kernels && limit.load(std::memory_order_relaxed) >= kernels;
}

}  // namespace

bool use_avx2() { return use(Kernels::kAvx2); }

bool use_wide() { return use(Kernels::kWide); }

void limit_kernels(Kernels most) { limit.store(most, std::memory_order_relaxed); }

}  // namespace hmtl
