#include "thread_pool.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

namespace hmtl {

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Task> tasks;
  bool closing = false;
  std::vector<std::thread> threads;

  void work(int thread) {
    for (;;) {
      Task task;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [this] { return closing || !tasks.empty(); });
        if (closing) return;
        task = std::move(tasks.front());
        tasks.pop_front();
      }
      task(thread);
    }
  }
};

ThreadPool::ThreadPool(int threads) : process_(getpid()) {
  if (threads < 1)
    throw std::invalid_argument("a pool needs at least 1 thread, got " + std::to_string(threads));
  state_ = std::make_unique<State>();
  for (int thread = 0; thread < threads; ++thread) {
    state_->threads.emplace_back([state = state_.get(), thread] { state->work(thread); });
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

void ThreadPool::submit(Task task) {
  check_process();
  if (!state_) throw std::runtime_error("the loader is closed");
  {
    const std::lock_guard lock(state_->mutex);
    state_->tasks.push_back(std::move(task));
  }
  state_->wake.notify_one();
}

void ThreadPool::close() {
  if (!state_) return;
  if (in_forked_child()) {
    // The threads are gone but the condition still counts them as waiting: destroying it would
    // block for ever. The memory is the child's copy and goes with it.
    static_cast<void>(state_.release());
    return;
  }
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
    state_->tasks.clear();
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
  state_.reset();
}

}  // namespace hmtl
