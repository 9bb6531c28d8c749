// TaskObserver: who is notified of a task's end, in which order, and how long a list of them may be.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "../../../runtime/task/as_completed.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

class Watcher final : public detail::TaskObserver {
 public:
  Watcher(int number, std::vector<int>& notified) : number_(number), notified_(&notified) {}

 private:
  void task_done(detail::TaskState& task) noexcept override {
    task.remove_observer(*this);  // nothing: it is on the list no more
    notified_->push_back(number_);
  }

  int number_;
  std::vector<int>* notified_;
};

// Handles of one task.
std::vector<JoinHandle<void>> many_handles(JoinHandle<void>& handle, std::size_t count) {
  auto& state = static_cast<detail::SpawnedTask<void>&>(handle.state());
  std::vector<JoinHandle<void>> handles;
  handles.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    state.add_reference();
    handles.emplace_back(state);
  }
  return handles;
}

Task<void> for_ever() { co_await sleep(std::nullopt); }

// Of so many, each of whom walked past half of the others, a test would take minutes.
constexpr std::size_t very_many = 200'000;

}  // namespace

TEST_CASE("observers that come and go in any order are notified in the order in which they came") {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round)
    run_here([&]() -> Task<void> {
      auto handle = spawn(for_ever());
      if (round % 2 != 0) handle.set_name("with extras");
      std::vector<int> notified;
      std::vector<int> expected;
      std::deque<Watcher> watchers;
      for (int i = 0; i < 12; ++i) watchers.emplace_back(i, notified);
      for (int step = 0; step < 40; ++step) {
        const int number = static_cast<int>(random() % watchers.size());
        Watcher& watcher = watchers[static_cast<std::size_t>(number)];
        if (const auto found = std::find(expected.begin(), expected.end(), number); found != expected.end()) {
          handle.state().remove_observer(watcher);
          expected.erase(found);
        } else {
          handle.state().remove_observer(watcher);  // nothing
          handle.state().add_observer(watcher);
          expected.push_back(number);
        }
      }
      handle.cancel();
      while (!handle.done()) co_await yield();
      CHECK(notified == expected);
    });
}

TEST_CASE("of very many that wait for one task each leaves in a few steps, whichever goes first") {
  run_here([]() -> Task<void> {
    auto handle = spawn(for_ever());
    std::vector<int> notified;
    std::deque<Watcher> watchers;
    for (std::size_t i = 0; i < very_many; ++i)
      handle.state().add_observer(watchers.emplace_back(static_cast<int>(i), notified));
    for (std::size_t i = very_many; i-- > 0;) handle.state().remove_observer(watchers[i]);
    for (Watcher& watcher : watchers) handle.state().add_observer(watcher);
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < very_many; ++i) order.push_back(i);
    std::shuffle(order.begin(), order.end(), std::mt19937(1));
    for (const std::size_t i : order) handle.state().remove_observer(watchers[i]);
    handle.cancel();
    while (!handle.done()) co_await yield();
    CHECK(notified.empty());
  });
}

TEST_CASE("wait and AsCompleted of very many handles of one task take no longer for each") {
  LoopOptions options;
  options.virtual_time = true;
  const auto scenario = []() -> Task<void> {
    auto handle = spawn(for_ever());
    {
      const auto handles = many_handles(handle, very_many);
      const std::size_t done =
          co_await wait(handles, ReturnWhen::FIRST_COMPLETED, std::chrono::milliseconds(1));
      CHECK(done == 0);
    }
    {
      AsCompleted<void> watched(many_handles(handle, very_many));
      CHECK(watched.size() == very_many);
    }
    AsCompleted<void> watched(many_handles(handle, very_many));
    handle.cancel();
    while (auto done = co_await watched.next()) {
      if (watched.size() % 50'000 == 0) CHECK(done.cancelled());
    }
  };
  run(scenario(), options);
}
