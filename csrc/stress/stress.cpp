// Hammers the thread pool, the open files and the batch renderer from many threads, and holds every
// result against what one thread rendered:   stress SECONDS FOLDER A difference ends it with the
// exit code 1; races and lifetime errors are for the sanitizers.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "loader.h"
#include "samples.h"
#include "work.h"

namespace hmtl::stress {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "stress: %s\n", what);
  std::_Exit(1);
}

void check(const Work& work, const Samples& samples, const BatchResult& result) {
  std::size_t bad = 0;
  for (int row = 0; row < static_cast<int>(work.rows().size()); ++row) {
    const int number = work.rows()[static_cast<std::size_t>(row)];
    const Outcome& alone = samples.all[static_cast<std::size_t>(number)].outcome(work.kind());
    if (alone.reason.empty()) {
      require(work.written(row) == alone.bytes, "a row differs from that of one thread");
      continue;
    }
    require(bad < result.bad.size() && result.bad[bad].row == row &&
                result.bad[bad].reason == alone.reason,
            "a bad row is not reported as one thread does");
    ++bad;
  }
  require(bad == result.bad.size(), "a good row is reported as bad");
}

// One renderer, used by several threads until it is closed under them.
class Round {
 public:
  Round(const Samples& samples, int threads)
      : samples_(samples), renderer_(samples.paths, threads) {}

  void run(int clients, milliseconds time, unsigned seed) {
    std::vector<std::thread> threads;
    for (int client = 0; client < clients; ++client) {
      threads.emplace_back(
          [this, seed, client] { use(seed * 100 + static_cast<unsigned>(client)); });
    }
    std::this_thread::sleep_for(time);
    std::thread other([this] { renderer_.close(); });
    renderer_.close();
    // Nothing is touched any more, whatever became of it.
    {
      const std::lock_guard lock(mutex_);
      given_up_.clear();
    }
    for (std::thread& thread : threads) thread.join();
    other.join();
  }

  long checked() const { return checked_; }

 private:
  void use(unsigned seed) {
    std::mt19937 random(seed);
    std::map<std::uint64_t, std::unique_ptr<Work>> mine;
    try {
      for (;;) {
        act(random, mine);
        free_released();
      }
    } catch (const std::runtime_error&) {
      // Being closed: until that is over, threads may write to what is under way.
      const std::lock_guard lock(mutex_);
      given_up_.merge(mine);
    }
  }

  void act(std::mt19937& random, std::map<std::uint64_t, std::unique_ptr<Work>>& mine) {
    if (mine.size() < 4 && random() % 2 == 0) {
      std::vector<int> rows(random() % 9);
      for (int& row : rows) row = static_cast<int>(random() % samples_.all.size());
      const Kind kind = kKinds[random() % std::size(kKinds)];
      auto work = std::make_unique<Work>(samples_, kind, std::move(rows));
      const std::uint64_t ticket = renderer_.submit(work->request(), random() % 8 == 0);
      mine.emplace(ticket, std::move(work));
    }
    if (mine.empty()) return;
    auto chosen = mine.begin();
    std::advance(chosen, static_cast<long>(random() % mine.size()));
    if (random() % 5 == 0) {
      give_up(chosen->first, std::move(chosen->second));
      mine.erase(chosen);
      return;
    }
    const bool is_whole = renderer_.is_whole(chosen->first);
    const auto result = renderer_.wait(chosen->first, milliseconds(random() % 3));
    require(!is_whole || (result && result->bad.empty()), "a batch is not as whole as it was");
    if (!result) return;
    check(*chosen->second, samples_, *result);
    ++checked_;
    expect_unknown(chosen->first);
    mine.erase(chosen);
  }

  void expect_unknown(std::uint64_t ticket) {
    try {
      renderer_.wait(ticket, milliseconds(0));
    } catch (const std::invalid_argument&) {
      return;
    }
    require(false, "a result was handed out twice");
  }

  void give_up(std::uint64_t ticket, std::unique_ptr<Work> work) {
    {
      const std::lock_guard lock(mutex_);
      given_up_.emplace(ticket, std::move(work));
    }
    renderer_.cancel(ticket);
    renderer_.cancel(ticket);
  }

  void free_released() {
    // One lock for both: another client's tickets may be among them.
    const std::lock_guard lock(mutex_);
    for (const std::uint64_t ticket : renderer_.take_released()) given_up_.erase(ticket);
  }

  const Samples& samples_;
  std::atomic<long> checked_{0};
  std::mutex mutex_;
  std::map<std::uint64_t, std::unique_ptr<Work>> given_up_;
  BatchRenderer renderer_;
};

// Counts the calls of a pool that several threads fill and two close.
long hammer_pool(int threads, unsigned seed) {
  std::atomic<long> called{0}, queued{0};
  std::vector<std::atomic<int>> in_use(static_cast<std::size_t>(threads));
  ThreadPool pool(threads);
  const auto fill = [&](unsigned own_seed) {
    std::mt19937 random(own_seed);
    try {
      for (;;) {
        const int count = static_cast<int>(random() % 5);
        pool.submit(
            count,
            [&](int, int thread) {
              auto& using_it = in_use[static_cast<std::size_t>(thread)];
              require(++using_it == 1, "two calls at once have the same thread number");
              ++called;
              --using_it;
            },
            random() % 4 == 0);
        queued += count;
        if (random() % 64 == 0) std::this_thread::yield();
      }
    } catch (const std::runtime_error&) {  // closed
    }
  };
  std::vector<std::thread> fillers;
  for (unsigned filler = 0; filler < 3; ++filler) fillers.emplace_back(fill, seed * 10 + filler);
  std::this_thread::sleep_for(milliseconds(3));
  std::thread other([&] { pool.close(); });
  pool.close();
  const long at_close = called;
  for (std::thread& filler : fillers) filler.join();
  other.join();
  require(called == at_close, "a call was made after the pool was closed");
  require(called <= queued, "more calls than were queued");
  return called;
}

// Reads from more files than may stay open.
long hammer_files(const Samples& samples, unsigned seed) {
  constexpr std::size_t kLimit = 2;
  OpenFiles files(kLimit);
  std::vector<const Extent*> good;
  for (const Sample& sample : samples.all) {
    if (sample.source.height > 0) good.push_back(&sample.extent);
  }
  std::atomic<long> reads{0};
  const auto use = [&](unsigned own_seed) {
    std::mt19937 random(own_seed);
    std::uint8_t bytes[64];
    for (int i = 0; i < 200; ++i) {
      const Extent& extent = *good[random() % good.size()];
      const std::string& path = samples.paths[static_cast<std::size_t>(extent.file)];
      const OpenFiles::Loan loan(files, extent.file, path, path);
      require(loan.file().size(path) >= extent.offset + extent.size &&
                  loan.file().read(extent.offset, bytes, sizeof bytes, path) == sizeof bytes,
              "a file that was lent cannot be read");
      ++reads;
    }
  };
  std::vector<std::thread> users;
  for (unsigned user = 0; user < 4; ++user) users.emplace_back(use, seed * 10 + user);
  for (std::thread& user : users) user.join();
  return reads;
}

}  // namespace
}  // namespace hmtl::stress

int main(int count, char** arguments) {
  using namespace hmtl::stress;
  if (count != 3) {
    std::fprintf(stderr, "usage: stress SECONDS FOLDER\n");
    return 2;
  }
  Samples samples;
  try {
    samples = make_samples(arguments[2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stress: %s\n", error.what());
    return 2;
  }
  const auto end = Clock::now() + std::chrono::seconds(std::atoi(arguments[1]));
  long batches = 0, calls = 0, reads = 0;
  unsigned rounds = 0;
  while (Clock::now() < end || rounds < 3) {
    for (const int threads : {1, 2, 7}) {
      ++rounds;
      calls += hammer_pool(threads, rounds);
      reads += hammer_files(samples, rounds);
      Round round(samples, threads);
      round.run(1 + static_cast<int>(rounds % 5), milliseconds(20 + 60 * (rounds % 4)), rounds);
      batches += round.checked();
    }
  }
  std::printf("%u rounds, %ld batches of %zu samples checked, %ld calls of a pool, %ld reads\n",
              rounds, batches, samples.all.size(), calls, reads);
  return batches > 0 && calls > 0 ? 0 : 1;
}
