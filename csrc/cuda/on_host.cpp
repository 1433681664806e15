#include "on_host.h"

#include "block.h"
#include "stages.h"

namespace hmtl::cuda {
namespace {

template <typename Kernel>
void run(const Kernel& kernel, bool backwards) {
  typename Kernel::Shared shared;
  const std::int64_t blocks = kernel.blocks();
  for (std::int64_t i = 0; i < blocks; ++i) {
    kernel(Block<Kernel::kThreads>{backwards}, backwards ? blocks - 1 - i : i, shared);
  }
}

}  // namespace

void render_on_host(const DeviceBatch& batch, bool backwards) {
  render(batch, [backwards](const auto& kernel) { run(kernel, backwards); });
}

void normalize_on_host(const NormalizePixels& kernel) { run(kernel, false); }

}  // namespace hmtl::cuda
