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

std::uint64_t BatchRenderer::submit(BatchRequest request, bool urgent) {
  pool_.check_process();
  check_request(request, files_);
  const int rows = count_rows(request);
  auto owned = std::make_unique<Job>();
  Job& job = *owned;
  job.request = std::move(request);
  job.left = rows;
  std::uint64_t ticket;
  {
    const std::lock_guard lock(mutex_);
    ticket = job.ticket = next_ticket_++;
    jobs_.emplace(ticket, std::move(owned));
  }
  try {
    // No more than two pointers, which a std::function holds without allocating.
    pool_.submit(rows, [this, &job](int row, int thread) { work_off(job, row, thread); }, urgent);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    jobs_.erase(ticket);
    throw;
  }
  return ticket;
}

void BatchRenderer::work_off(Job& job, int row, int thread) {
  bool cancelled;
  {
    const std::lock_guard lock(mutex_);
    cancelled = job.cancelled;
  }
  int warnings = 0;
  std::string reason;
  RenderScratch& scratch = scratch_[static_cast<std::size_t>(thread)];
  if (!cancelled) {
    try {
      warnings = run_row(job.request, row, files_, scratch);
    } catch (const DecodeError& error) {
      reason = error.what();
    } catch (const std::exception& error) {
      reason = error.what() + (": " + row_name(job.request, row, files_));
    }
  }
  const StageTimes times = scratch.clock.take();
  {
    // Notified under the lock: once it is released, the job may be gone.
    const std::lock_guard lock(mutex_);
    job.result.warnings += warnings;
    for (std::size_t stage = 0; stage < kStages; ++stage) job.result.times[stage] += times[stage];
    if (!reason.empty()) job.result.bad.push_back({row, std::move(reason)});
    if (--job.left > 0) return;
    released_.push_back(job.ticket);
    if (job.cancelled) {
      jobs_.erase(job.ticket);
    } else {
      done_.notify_all();
    }
  }
}

std::optional<BatchResult> BatchRenderer::wait(std::uint64_t ticket,
                                               std::chrono::milliseconds time) {
  pool_.check_process();
  std::unique_lock lock(mutex_);
  // Looked up after each pause: another caller may have taken or cancelled the batch meanwhile.
  const auto find = [this, ticket]() -> Job* {
    const auto found = jobs_.find(ticket);
    return found == jobs_.end() || found->second->cancelled ? nullptr : found->second.get();
  };
  const bool is_over = done_.wait_for(lock, time, [this, &find] {
    const Job* job = find();
    return closed_ || job == nullptr || job->left == 0;
  });
  if (!is_over) return std::nullopt;
  Job* job = find();
  if (job == nullptr) {
    throw std::invalid_argument("batch " + std::to_string(ticket) +
                                " is unknown, was cancelled or was waited for before");
  }
  if (job->left != 0) {
    throw std::runtime_error("the loader was closed while a batch was waited for");
  }
  BatchResult result = std::move(job->result);
  jobs_.erase(ticket);
  std::sort(result.bad.begin(), result.bad.end(),
            [](const BadRow& a, const BadRow& b) { return a.row < b.row; });
  return result;
}

bool BatchRenderer::is_whole(std::uint64_t ticket) {
  if (in_forked_child()) return false;
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(ticket);
  if (closed_ || found == jobs_.end()) return false;
  const Job& job = *found->second;
  return !job.cancelled && job.left == 0 && job.result.bad.empty();
}

void BatchRenderer::cancel(std::uint64_t ticket) {
  if (in_forked_child()) return;
  const std::lock_guard lock(mutex_);
  const auto found = jobs_.find(ticket);
  if (found == jobs_.end()) return;
  found->second->cancelled = true;
  if (found->second->left == 0) {
    // One without rows was never worked off.
    released_.push_back(ticket);
    jobs_.erase(found);
  }
  done_.notify_all();
}

std::vector<std::uint64_t> BatchRenderer::take_released() {
  if (in_forked_child()) return {};
  const std::lock_guard lock(mutex_);
  return std::exchange(released_, {});
}

void BatchRenderer::close() {
  if (in_forked_child()) return;
  pool_.close();
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  done_.notify_all();
}

}  // namespace hmtl
