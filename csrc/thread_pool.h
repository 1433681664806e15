// A fixed number of threads that work off a queue.
#pragma once

#include <functional>
#include <memory>

#include <sys/types.h>

namespace hmtl {

// Tasks run in the order they come, each on one thread, and must not throw. Closing drops the
// tasks that have not started and joins the threads. They do not live on in a forked child: there,
// `submit` throws, and closing lets go of them.
class ThreadPool {
 public:
  using Task = std::function<void(int thread)>;

  // `threads` ≥ 1, else std::invalid_argument.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Throws std::runtime_error in a forked child.
  void check_process() const;
  bool in_forked_child() const;

  void submit(Task task);
  void close();

 private:
  struct State;

  std::unique_ptr<State> state_;
  pid_t process_;
};

}  // namespace hmtl
