// The kernels on the host, block after block: what the tests of a machine without a GPU run.
#pragma once

#include "batch.h"
#include "normalize_pixels.h"

namespace hmtl::cuda {

// All addresses are the host's. Blocks, and the threads of each, come in order or `backwards`,
// which must not matter.
void render_on_host(const DeviceBatch& batch, bool backwards);

void normalize_on_host(const NormalizePixels& kernel);

}  // namespace hmtl::cuda
