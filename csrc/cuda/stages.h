// The order of the kernels, the same wherever they run.
#pragma once

#include "add_noise.h"
#include "batch.h"
#include "blur.h"
#include "finish.h"
#include "make_taps.h"
#include "resample_stages.h"

namespace hmtl::cuda {

// Calls `launch(kernel)` for what a batch needs, one after the other.
template <typename Launch>
void render(const DeviceBatch& batch, Launch launch) {
  if (batch.job_count == 0) return;
  launch(MakeTaps{batch});
  launch(Develop{batch});
  if (batch.workspace.has_blur) launch(Blur{batch});
  if (batch.workspace.most_small > 0) {
    launch(DownScale<kDown>{batch});
    launch(DownScale<kUp>{batch});
  }
  if (batch.workspace.has_noise) launch(AddNoise{batch});
  launch(Finish{batch});
}

}  // namespace hmtl::cuda
