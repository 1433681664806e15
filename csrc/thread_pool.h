// A fixed number of threads that work off a queue.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <sys/types.h>

namespace hmtl {

// Work starts in the order it was queued. Any thread may call anything, at any time. The threads do
// not live on in a forked child: there `submit` throws, closing does nothing, and the pool has to
// be forgotten rather than destroyed, because a lock may have been held when the process forked.
class ThreadPool {
 public:
  // Called with the number of the call and of the thread it runs on. Must not throw.
  using Task = std::function<void(int index, int thread)>;

  // `threads` ≥ 1, else std::invalid_argument; std::runtime_error where the system has no more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Throws std::runtime_error in a forked child.
  void check_process() const;
  bool in_forked_child() const;

  // Queues task(0) … task(count - 1), or nothing if it throws: std::runtime_error once closed. What
  // is `urgent` starts before all that waits.
  void submit(int count, Task task, bool urgent = false);

  // Drops the calls that have not started and joins the threads.
  void close();

 private:
  struct Entry {
    Task task;
    int next;
    int count;
  };

  void work(int thread);

  const pid_t process_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Entry> queue_;
  bool closed_ = false;
  std::mutex joining_;
  std::vector<std::thread> threads_;
};

}  // namespace hmtl
