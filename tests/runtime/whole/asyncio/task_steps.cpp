// What steps do that concern a task: starting, joining, cancelling, limiting, catching, failing.
// SPDX-License-Identifier: MIT
#include <chrono>

#include "../../../../runtime/task/sleep.hpp"
#include "../../../../runtime/task/timeout.hpp"
#include "world.hpp"

namespace heddle::test {

using std::chrono::milliseconds;

Task<void> PeerWorld::do_sleep(int, const PeerStep& step, What&) {
  co_await sleep(milliseconds(step.args[0]));
}
Task<void> PeerWorld::do_yield(int, const PeerStep&, What&) { co_await yield(); }

Task<void> PeerWorld::do_spawn(int, const PeerStep& step, What&) {
  tasks_[step.args[0]] = spawn(life(step.args[0], step.blocks[0])).task();
  co_return;
}
Task<void> PeerWorld::do_join(int, const PeerStep& step, What& what) {
  if (find(step.args[0]) == nullptr) {
    what = "nobody";
    co_return;
  }
  const JoinHandle<void> handle = handle_of(*find(step.args[0]));
  co_await handle;
}

Task<void> PeerWorld::do_cancel(int, const PeerStep& step, What& what) {
  const TaskHandle* const task = find(step.args[0]);
  what = task == nullptr ? "nobody" : task->cancel() ? "asked" : "too late";
  co_return;
}
Task<void> PeerWorld::do_cancel_self(int, const PeerStep&, What&) {
  current_task().cancel();
  co_return;
}
Task<void> PeerWorld::do_cancel_later(int me, const PeerStep& step, What&) {
  loop_->call_later(milliseconds(step.args[1]), [this, me, number = step.args[0]] {
    const TaskHandle* const task = find(number);
    if (task == nullptr) return;
    say(0, me, "asks " + std::to_string(number) + (task->cancel() ? "" : " too late"));
  });
  co_return;
}
Task<void> PeerWorld::do_uncancel(int, const PeerStep& step, What& what) {
  const TaskHandle* const other = find(step.args[0]);
  if (step.args[0] != 0 && other == nullptr)
    what = "nobody";
  else
    what = "left " + std::to_string((other != nullptr ? *other : current_task()).uncancel());
  co_return;
}
Task<void> PeerWorld::do_cancelling(int, const PeerStep&, What& what) {
  what = "requests " + std::to_string(current_task().cancelling());
  co_return;
}

Task<void> PeerWorld::do_timeout(int me, const PeerStep& step, What&) {
  co_await timeout(milliseconds(step.args[0]), all(me, step.blocks[0]));
}

Task<void> PeerWorld::do_hold(int me, const PeerStep& step, What&) {
  co_await shield(all(me, step.blocks[0]));
}

Task<void> PeerWorld::do_group(int me, const PeerStep& step, What&) {
  std::exception_ptr error;
  try {
    auto body = [this, me, &step](TaskGroup& group) -> Task<void> {
      groups_[step.args[0]] = &group;
      co_await all(me, step.blocks[0]);
    };
    co_await task_group(body);
  } catch (...) {
    error = std::current_exception();
  }
  groups_.erase(step.args[0]);
  if (error) std::rethrow_exception(error);
}
Task<void> PeerWorld::do_group_spawn(int, const PeerStep& step, What& what) {
  const auto found = groups_.find(step.args[0]);
  if (found != groups_.end()) try {
      tasks_[step.args[1]] = found->second->spawn(life(step.args[1], step.blocks[0])).task();
      co_return;
    } catch (const std::logic_error&) {  // it has ended, and nobody has erased it yet
    }
  what = "nobody";
}

Task<void> PeerWorld::do_fail(int, const PeerStep& step, What&) {
  throw Fail(step.args[0]);
  co_return;
}
Task<void> PeerWorld::do_throw(int, const PeerStep&, What&) {
  throw Cancelled();
  co_return;
}
Task<void> PeerWorld::do_catch(int me, const PeerStep& step, What& what) {
  try {
    co_await all(me, step.blocks[0]);
    co_return;
  } catch (const Cancelled&) {
  }
  co_await all(me, step.blocks[1]);
  what = "caught";
}
Task<void> PeerWorld::do_rescue(int me, const PeerStep& step, What& what) {
  try {
    co_await all(me, step.blocks[0]);
    co_return;
  } catch (const std::exception&) {
  }
  co_await all(me, step.blocks[1]);
  what = "rescued";
}
Task<void> PeerWorld::do_finally(int me, const PeerStep& step, What&) {
  std::exception_ptr error;
  try {
    co_await all(me, step.blocks[0]);
  } catch (...) {
    error = std::current_exception();
  }
  co_await all(me, step.blocks[1]);
  if (error) std::rethrow_exception(error);
}

}  // namespace heddle::test
