// AllDone and FinishedTasks: the wait for an end, and what is kept of tasks that have ended.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/all_done.hpp"

#include <vector>

#include "../../../runtime/core/finished_tasks.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../support/cancel_everywhere.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

TEST_CASE("what is done already isn't waited for, and who waits goes on when it is notified") {
  run_here([]() -> Task<void> {
    AllDone* waiting = nullptr;
    co_await AllDone(waiting, true, "nothing", false);
    AllDone::notify(waiting);  // nobody waits
    const auto waiter = spawn(end_of(AllDone(waiting, false, "an end", false)));
    co_await turns(2);
    CHECK_FALSE(waiter.done());
    CHECK(waiting != nullptr);
    AllDone::notify(waiting);
    CHECK(waiting == nullptr);
    const std::string end = co_await waiter;
    CHECK(end == "done");
  });
}

TEST_CASE("a wait for an end that is cancelled leaves, and one that was notified before is TOO_LATE") {
  run_here([]() -> Task<void> {
    AllDone* waiting = nullptr;
    auto waiter = spawn(end_of(AllDone(waiting, false, "an end", false)));
    co_await turns(1);
    waiter.cancel();
    CHECK(waiting == nullptr);
    const std::string cancelled = co_await waiter;
    CHECK(cancelled == "cancelled");

    auto late = spawn(end_of(AllDone(waiting, false, "an end", false)));
    co_await turns(1);
    AllDone::notify(waiting);
    late.cancel();
    const std::string end = co_await late;
    CHECK(end == "done");
  });
}

TEST_CASE("finished tasks are kept in the order in which they were added, and released with their list") {
  run_here([]() -> Task<void> {
    std::vector<JoinHandle<void>> handles;
    for (int i = 0; i < 5; ++i) handles.push_back(spawn(turns(0)));
    co_await turns(3);
    std::vector<std::uint64_t> added;
    std::vector<std::uint64_t> kept;
    {
      FinishedTasks list;
      CHECK(list.empty());
      for (const int i : {3, 0, 4, 1}) {
        list.push(handles[static_cast<std::size_t>(i)].state());
        added.push_back(handles[static_cast<std::size_t>(i)].state().id());
      }
      handles.clear();  // the list holds them now
      for (const TaskState* task = list.first(); task != nullptr; task = task->next_sibling())
        kept.push_back(task->id());
      CHECK(list.first()->done());
    }
    CHECK(kept == added);
  });
}
