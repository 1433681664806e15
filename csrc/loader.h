// Renders batches ahead of their use on a fixed number of threads.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "render.h"
#include "thread_pool.h"

namespace hmtl {

// A batch to render. The pointers are the caller's memory, which must stay valid until the batch
// has been waited for or cancelled.
struct BatchRequest {
  std::vector<Extent> extents;       // N
  std::vector<SampleParams> params;  // N × V
  RenderSettings settings;
  std::vector<std::uint8_t*> images;    // V, each N × size × size × 3
  std::int64_t* permutation = nullptr;  // N × V × grid²
  std::int64_t* turns = nullptr;        // N × V × grid²
  float* pose = nullptr;                // N × 3
};

// A row that could not be rendered, and why. Its pixels are unspecified.
struct BadRow {
  int row;
  std::string reason;
};

struct BatchResult {
  std::vector<BadRow> bad;  // by row
  int warnings = 0;         // of the decoder, in all rows
  StageTimes times{};       // of all threads together
};

// What is rendered depends on the requests alone, never on the number of threads.
class BatchRenderer {
 public:
  BatchRenderer(std::vector<std::string> paths, int threads);
  ~BatchRenderer();

  // Queues a batch and returns its ticket. Batches are worked off in the order they come.
  std::uint64_t submit(BatchRequest request);

  // Blocks until the batch is done. A ticket can be waited for once.
  BatchResult wait(std::uint64_t ticket);

  // Gives a batch up: returns once no thread touches its memory any more.
  void cancel(std::uint64_t ticket);

  // Drops what has not started and joins the threads; who waits for a batch gets an error.
  void close();

 private:
  struct Job {
    BatchRequest request;
    BatchResult result;
    int left = 0;
    bool cancelled = false;
  };

  void render_row(Job& job, int row, int thread);
  std::unique_ptr<Job> finish(std::uint64_t ticket, bool cancel);

  FileTable files_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::map<std::uint64_t, std::unique_ptr<Job>> jobs_;
  std::uint64_t next_ticket_ = 0;
  bool closed_ = false;
  std::vector<RenderScratch> scratch_;  // one per thread
  ThreadPool pool_;
};

}  // namespace hmtl
