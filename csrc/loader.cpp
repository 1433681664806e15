#include "loader.h"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

namespace hmtl {

BatchRenderer::BatchRenderer(std::vector<std::string> paths, int threads)
    : files_(std::move(paths)),
      scratch_(static_cast<std::size_t>(std::max(threads, 0))),
      pool_(threads) {}

BatchRenderer::~BatchRenderer() { close(); }

std::uint64_t BatchRenderer::submit(BatchRequest request) {
  pool_.check_process();
  const std::size_t rows = request.extents.size();
  if (request.images.empty() || request.params.size() != rows * request.images.size()) {
    throw std::invalid_argument("a batch needs params for every row and view");
  }
  // A file number that is unknown is refused here, where the caller gets the error.
  for (const Extent& extent : request.extents) files_.path(extent);
  auto owned = std::make_unique<Job>();
  Job& job = *owned;
  job.request = std::move(request);
  job.left = static_cast<int>(rows);
  std::uint64_t ticket;
  {
    const std::lock_guard lock(mutex_);
    ticket = next_ticket_++;
    jobs_.emplace(ticket, std::move(owned));
  }
  for (int row = 0; row < static_cast<int>(rows); ++row) {
    pool_.submit([this, &job, row](int thread) { render_row(job, row, thread); });
  }
  return ticket;
}

void BatchRenderer::render_row(Job& job, int row, int thread) {
  bool cancelled;
  {
    const std::lock_guard lock(mutex_);
    cancelled = job.cancelled;
  }
  int warnings = 0;
  std::string reason;
  RenderScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  if (!cancelled) {
    const BatchRequest& request = job.request;
    const RenderSettings& settings = request.settings;
    const auto views = static_cast<std::ptrdiff_t>(request.images.size());
    const std::ptrdiff_t labels = row * views * settings.grid * settings.grid;
    const std::ptrdiff_t image_bytes =
        static_cast<std::ptrdiff_t>(settings.size) * settings.size * 3;
    const RenderTarget target = {&request.images, row * image_bytes, request.permutation + labels,
                                 request.turns + labels, request.pose + 3 * row};
    try {
      warnings = render_sample(files_, request.extents[static_cast<std::size_t>(row)],
                               request.params.data() + row * views, settings, scratch, target);
    } catch (const DecodeError& error) {
      reason = error.what();
    } catch (const std::exception& error) {
      const Extent& extent = request.extents[static_cast<std::size_t>(row)];
      reason = error.what() + (": " + files_.name(extent));
    }
  }
  const StageTimes times = scratch.clock.take();
  {
    // Notified under the lock: once it is released, `finish` may free the job.
    const std::lock_guard lock(mutex_);
    job.result.warnings += warnings;
    for (std::size_t stage = 0; stage < kStages; ++stage) job.result.times[stage] += times[stage];
    if (!reason.empty()) job.result.bad.push_back({row, std::move(reason)});
    if (--job.left == 0) done_.notify_all();
  }
}

std::unique_ptr<BatchRenderer::Job> BatchRenderer::finish(std::uint64_t ticket, bool cancel) {
  pool_.check_process();
  std::unique_lock lock(mutex_);
  const auto found = jobs_.find(ticket);
  if (found == jobs_.end()) {
    throw std::invalid_argument("batch " + std::to_string(ticket) +
                                " is unknown or was waited for before");
  }
  Job& job = *found->second;
  job.cancelled = cancel;
  done_.wait(lock, [this, &job] { return closed_ || job.left == 0; });
  if (job.left != 0) throw std::runtime_error("the loader was closed while a batch was waited for");
  std::unique_ptr<Job> owned = std::move(found->second);
  jobs_.erase(found);
  return owned;
}

BatchResult BatchRenderer::wait(std::uint64_t ticket) {
  BatchResult result = std::move(finish(ticket, false)->result);
  std::sort(result.bad.begin(), result.bad.end(),
            [](const BadRow& a, const BadRow& b) { return a.row < b.row; });
  return result;
}

void BatchRenderer::cancel(std::uint64_t ticket) { finish(ticket, true); }

void BatchRenderer::close() {
  const bool in_forked_child = pool_.in_forked_child();
  pool_.close();
  if (in_forked_child) return;  // a thread may have held the mutex when the process forked
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  done_.notify_all();
}

}  // namespace hmtl
