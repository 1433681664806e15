#include "thread_pool.h"

#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace hmtl {

ThreadPool::ThreadPool(int threads) : process_(getpid()) {
  if (threads < 1)
    throw std::invalid_argument("a pool needs at least 1 thread, got " + std::to_string(threads));
  threads_.reserve(static_cast<std::size_t>(threads));
  try {
    for (int thread = 0; thread < threads; ++thread) {
      threads_.emplace_back([this, thread] { work(thread); });
    }
  } catch (const std::system_error& error) {
    const std::size_t started = threads_.size();
    close();
    throw std::runtime_error("cannot start more than " + std::to_string(started) + " of " +
                             std::to_string(threads) + " threads: " + error.what());
  }
}

ThreadPool::~ThreadPool() { close(); }

bool ThreadPool::in_forked_child() const { return getpid() != process_; }

void ThreadPool::check_process() const {
  if (in_forked_child()) {
    throw std::runtime_error(
        "a loader cannot be used after fork: make a new one in the child process");
  }
}

void ThreadPool::work(int thread) {
  for (;;) {
    Task task;
    int index;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return closed_ || !queue_.empty(); });
      if (closed_) return;
      Entry& entry = queue_.front();
      task = entry.task;
      index = entry.next++;
      if (entry.next == entry.count) queue_.pop_front();
    }
    task(index, thread);
  }
}

void ThreadPool::submit(int count, Task task, bool urgent) {
  check_process();
  {
    const std::lock_guard lock(mutex_);
    if (closed_) throw std::runtime_error("the loader is closed");
    if (count < 1) return;
    Entry entry{std::move(task), 0, count};
    if (urgent) {
      queue_.push_front(std::move(entry));
    } else {
      queue_.push_back(std::move(entry));
    }
  }
  if (count == 1) {
    wake_.notify_one();
  } else {
    wake_.notify_all();
  }
}

void ThreadPool::close() {
  if (in_forked_child()) return;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    queue_.clear();
  }
  wake_.notify_all();
  // Who closes at the same time returns once all threads are joined, too.
  const std::lock_guard lock(joining_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace hmtl
