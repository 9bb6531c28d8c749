// What steps do that wait for several tasks, or for one that is shielded.
// SPDX-License-Identifier: MIT
#include <chrono>

#include "../../../../runtime/task/as_completed.hpp"
#include "../../../../runtime/task/gather.hpp"
#include "../../../../runtime/task/timeout.hpp"
#include "../../../../runtime/task/wait.hpp"
#include "world.hpp"

namespace heddle::test {

using std::chrono::milliseconds;

namespace {

std::string outcome_of(const JoinHandle<void>& handle) {
  return handle.cancelled() ? "cancelled" : in_words(handle.error());
}

}  // namespace

Task<void> PeerWorld::do_gather(int, const PeerStep& step, What&) { co_await gather(lives(step)); }

Task<void> PeerWorld::do_settle(int, const PeerStep& step, What& what) {
  const Handles handles = co_await gather_settled(lives(step));
  for (const JoinHandle<void>& handle : handles) what += (what.empty() ? "" : ", ") + outcome_of(handle);
}

Task<void> PeerWorld::do_as_completed(int me, const PeerStep& step, What&) {
  auto body = [this, me, &step](AsCompleted<void>& results) -> Task<void> {
    for (int count = step.args[0]; count > 0; --count) {
      const JoinHandle<void> next = co_await results.next();
      if (!next) break;
      say(me, 0, "next: " + outcome_of(next));
    }
  };
  co_await as_completed(lives(step, 1), body);
}

Task<void> PeerWorld::do_wait(int, const PeerStep& step, What& what) {
  Handles handles;
  for (std::size_t i = 2; i < step.args.size(); ++i)
    if (const TaskHandle* const task = find(step.args[i])) handles.push_back(handle_of(*task));
  if (handles.empty()) {
    what = "nobody";
    co_return;
  }
  Timeout limit;
  if (step.args[1] != 0) limit = milliseconds(step.args[1]);
  const std::size_t done = co_await wait(handles, static_cast<ReturnWhen>(step.args[0]), limit);
  what = std::to_string(done) + " done";
}

Task<void> PeerWorld::do_shield(int, const PeerStep& step, What& what) {
  if (find(step.args[0]) == nullptr) {
    what = "nobody";
    co_return;
  }
  const JoinHandle<void> handle = handle_of(*find(step.args[0]));
  co_await shield(handle);
}

Task<void> PeerWorld::do_shield_new(int, const PeerStep& step, What&) {
  const int number = step.args[0];
  JoinHandle<void> handle = spawn(life(number, step.blocks[0]));
  tasks_[number] = handle.task();
  co_await shield(std::move(handle));
}

}  // namespace heddle::test
