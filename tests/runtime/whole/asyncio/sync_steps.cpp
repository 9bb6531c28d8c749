// What steps do at queues, locks, semaphores and events.
// SPDX-License-Identifier: MIT
#include <optional>

#include "../../../../selector/errors.hpp"
#include "world.hpp"

namespace heddle::test {

namespace {

template <class Objects>
auto& chosen(Objects& objects, const PeerStep& step) {
  return objects.at(static_cast<std::size_t>(step.args[0]));
}

}  // namespace

Task<void> PeerWorld::do_put(int, const PeerStep& step, What&) {
  co_await chosen(queues_, step).put(step.args[1]);
}
Task<void> PeerWorld::do_get(int, const PeerStep& step, What& what) {
  const int item = co_await chosen(queues_, step).get();
  what = "got " + std::to_string(item);
}
Task<void> PeerWorld::do_put_nowait(int, const PeerStep& step, What& what) {
  if (!chosen(queues_, step).try_put(step.args[1])) what = "full";
  co_return;
}
Task<void> PeerWorld::do_get_nowait(int, const PeerStep& step, What& what) {
  const std::optional<int> item = chosen(queues_, step).try_get();
  what = item ? "got " + std::to_string(*item) : "empty";
  co_return;
}

Task<void> PeerWorld::do_task_done(int, const PeerStep& step, What& what) {
  try {
    chosen(queues_, step).task_done();
  } catch (const ValueError&) {
    what = "too often";
  }
  co_return;
}
Task<void> PeerWorld::do_join_queue(int, const PeerStep& step, What&) {
  co_await chosen(queues_, step).join();
}
Task<void> PeerWorld::do_shutdown(int, const PeerStep& step, What&) {
  chosen(queues_, step).shutdown(step.args[1] != 0);
  co_return;
}

Task<void> PeerWorld::do_notified(int me, const PeerStep& step, What&) {
  Condition& condition = chosen(conditions_, step);
  const auto guard = co_await condition.scoped();
  co_await condition.wait();
  co_await all(me, step.blocks[0]);
}
Task<void> PeerWorld::do_notify(int, const PeerStep& step, What&) {
  Condition& condition = chosen(conditions_, step);
  const auto guard = co_await condition.scoped();
  condition.notify(static_cast<std::size_t>(step.args[1]));
}

Task<void> PeerWorld::do_locked(int me, const PeerStep& step, What&) {
  const auto guard = co_await chosen(locks_, step).scoped();
  co_await all(me, step.blocks[0]);
}
Task<void> PeerWorld::do_permitted(int me, const PeerStep& step, What&) {
  const auto guard = co_await chosen(semaphores_, step).scoped();
  co_await all(me, step.blocks[0]);
}

Task<void> PeerWorld::do_set(int, const PeerStep& step, What&) {
  chosen(events_, step).set();
  co_return;
}
Task<void> PeerWorld::do_clear(int, const PeerStep& step, What&) {
  chosen(events_, step).clear();
  co_return;
}
Task<void> PeerWorld::do_await_event(int, const PeerStep& step, What&) {
  co_await chosen(events_, step).wait();
}

}  // namespace heddle::test
