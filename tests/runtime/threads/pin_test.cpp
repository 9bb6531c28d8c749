// ThreadsOptions::pin: which cores the threads of run_on_threads() run on.
// SPDX-License-Identifier: MIT
#include <sched.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/core/exception_group.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/threads/run_on_threads.hpp"
#include "../../../runtime/threads/thread_pool.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/on_selectors.hpp"

#ifdef __linux__

using namespace heddle;
using namespace heddle::test;

namespace {

std::set<int> cores_of_this_thread() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) throw std::runtime_error("sched_getaffinity");
  std::set<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.insert(core);
  return cores;
}

// As under taskset(1), until the end of the test.
class Restricted {
 public:
  explicit Restricted(const std::set<int>& cores) : before_(cores_of_this_thread()) { apply(cores); }
  ~Restricted() { apply(before_); }

 private:
  static void apply(const std::set<int>& cores) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : cores) CPU_SET(core, &set);
    ::sched_setaffinity(0, sizeof set, &set);
  }
  std::set<int> before_;
};

std::vector<std::set<int>> cores_of_threads(std::size_t count, bool pin) {
  std::mutex mutex;
  std::vector<std::set<int>> cores(count);
  run_on_threads({.threads = count, .pin = pin}, [&](std::size_t index) -> Task<void> {
    const std::set<int> here = cores_of_this_thread();
    const std::lock_guard lock(mutex);
    cores[index] = here;
    co_return;
  });
  return cores;
}

}  // namespace

TEST_CASE(
    "threads may be pinned, each to a core of its own, and begin anew with the first where cores are fewer") {
  const std::set<int> allowed = cores_of_this_thread();
  const std::vector<int> numbers(allowed.begin(), allowed.end());
  const std::size_t count = 2 * numbers.size() + 1;
  const auto cores = cores_of_threads(count, true);
  for (std::size_t index = 0; index < count; ++index)
    CHECK(cores[index] == std::set<int>{numbers[index % numbers.size()]});
  CHECK(cores_of_this_thread() == allowed);
  for (const auto& each : cores_of_threads(2, false)) CHECK(each == allowed);
}

TEST_CASE("pinned threads keep to the cores that the process was left") {
  const int last = *cores_of_this_thread().rbegin();
  const Restricted restricted({last});
  for (const auto& each : cores_of_threads(3, true)) CHECK(each == std::set<int>{last});
  CHECK(cores_of_this_thread() == std::set<int>{last});
}

TEST_CASE("the threads of a pool that a pinned thread uses are not pinned") {
  const std::set<int> allowed = cores_of_this_thread();
  std::mutex mutex;
  std::vector<std::set<int>> pools;
  std::vector<std::set<int>> loops;
  run_on_threads({.threads = 2, .pin = true}, [&](std::size_t) -> Task<void> {
    ThreadPool pool(1);
    auto cores = pool.run([] { return cores_of_this_thread(); });
    std::set<int> there = co_await cores;
    const std::set<int> here = cores_of_this_thread();
    const std::lock_guard lock(mutex);
    pools.push_back(std::move(there));
    loops.push_back(here);
  });
  CHECK(pools == std::vector<std::set<int>>(2, allowed));
  for (const auto& each : loops) CHECK(each.size() == 1);
}

TEST_CASE("the caller of pinned threads is as before also when they fail") {
  const std::set<int> allowed = cores_of_this_thread();
  auto fail = [](std::size_t) -> Task<void> {
    co_await yield();
    throw std::runtime_error("no");
  };
  CHECK_THROWS_AS(run_on_threads({.threads = 2, .pin = true}, fail), ExceptionGroup);
  CHECK(cores_of_this_thread() == allowed);
}

#endif
