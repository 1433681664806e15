// Works batches off ahead of their use on a fixed number of threads.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "requests.h"
#include "thread_pool.h"

namespace hmtl {

// A row whose work failed, and why. What it was to fill is unspecified.
struct BadRow {
  int row;
  std::string reason;
};

struct BatchResult {
  std::vector<BadRow> bad;  // by row
  int warnings = 0;         // of the decoder, in all rows
  StageTimes times{};       // of all threads together
};

// What comes out depends on the requests alone, never on the number of threads. Any thread may
// call anything, at any time. In a forked child only `is_whole`, `cancel`, `take_released` and
// `close` may be called, which do nothing there; the renderer has to be forgotten rather than
// destroyed.
class BatchRenderer {
 public:
  BatchRenderer(std::vector<std::string> paths, int threads);
  ~BatchRenderer();

  bool in_forked_child() const { return pool_.in_forked_child(); }
  // Throws std::runtime_error there.
  void check_process() const { pool_.check_process(); }

  // Queues a batch and returns its ticket; nothing is queued if it throws, as it does for
  // a size or grid that cannot be (std::invalid_argument). Batches are worked off in the order they
  // come, those that are `urgent` before the others. The memory that the request points to must
  // stay valid until the batch has been waited for or its ticket is among those released.
  std::uint64_t submit(BatchRequest request, bool urgent = false);

  // Blocks until the batch is done or the time is over; then there is no result. A result is handed
  // out once. Throws std::invalid_argument for a ticket that is not, or no longer, waited for, and
  // std::runtime_error where the renderer was closed before the batch was done.
  std::optional<BatchResult> wait(std::uint64_t ticket, std::chrono::milliseconds time);

  // Whether `wait` would give a result at once, and one without bad rows.
  bool is_whole(std::uint64_t ticket);

  // Gives a batch up without waiting. An unknown ticket is no error.
  void cancel(std::uint64_t ticket);

  // Returns batches whose memory is not touched any more, done or cancelled, since the last call.
  std::vector<std::uint64_t> take_released();

  // Drops what has not started and joins the threads: no memory is touched any more. Who waits for
  // a batch gets an error.
  void close();

 private:
  struct Job {
    std::uint64_t ticket = 0;
    BatchRequest request;
    BatchResult result;
    int left = 0;
    bool cancelled = false;
  };

  void work_off(Job& job, int row, int thread);

  FileTable files_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::map<std::uint64_t, std::unique_ptr<Job>> jobs_;
  std::vector<std::uint64_t> released_;
  std::uint64_t next_ticket_ = 0;
  bool closed_ = false;
  std::vector<RenderScratch> scratch_;  // one per thread
  ThreadPool pool_;
};

}  // namespace hmtl
