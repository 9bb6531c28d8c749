// World: one run of a program on heddle, as interpreter.py's World is one on asyncio.
// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../../runtime/loop/event_loop.hpp"
#include "../../../../runtime/sync/condition.hpp"
#include "../../../../runtime/sync/event.hpp"
#include "../../../../runtime/sync/lock.hpp"
#include "../../../../runtime/sync/queue.hpp"
#include "../../../../runtime/sync/semaphore.hpp"
#include "../../../../runtime/task/join_handle.hpp"
#include "../../../../runtime/task/task_group.hpp"
#include "peer_program.hpp"

namespace heddle::test {

/// What the step `fail` throws.
struct Fail : std::runtime_error {
  explicit Fail(int which) : std::runtime_error("fail " + std::to_string(which)) {}
};

/// "done" for none.
std::string in_words(const std::exception_ptr& error);

class PeerWorld {
 public:
  explicit PeerWorld(const PeerProgram& program) : program_(program) {}

  Task<void> main();
  /// Once the loop has nothing more to do.
  std::vector<std::string> take_log();

 private:
  using What = std::string;  // of a step that has ended well: "done" if it is empty
  using Doing = Task<void> (PeerWorld::*)(int me, const PeerStep& step, What& what);
  using Handles = std::vector<JoinHandle<void>>;

  static const std::map<std::string, Doing>& doings();

  void say(int task, int step, const std::string& what);
  const TaskHandle* find(int number) const;
  /// Another handle of a task, to be awaited.
  static JoinHandle<void> handle_of(const TaskHandle& task);

  Task<void> life(int me, const PeerBlock& steps);
  Task<void> all(int me, const PeerBlock& steps);
  /// Of the tasks whose numbers begin at an argument.
  std::vector<Task<void>> lives(const PeerStep& step, std::size_t first_number = 0);

  // What a step does; its arguments are in programs.py.
  Task<void> do_sleep(int me, const PeerStep& step, What& what);
  Task<void> do_yield(int me, const PeerStep& step, What& what);
  Task<void> do_spawn(int me, const PeerStep& step, What& what);
  Task<void> do_join(int me, const PeerStep& step, What& what);
  Task<void> do_cancel(int me, const PeerStep& step, What& what);
  Task<void> do_cancel_self(int me, const PeerStep& step, What& what);
  Task<void> do_cancel_later(int me, const PeerStep& step, What& what);
  Task<void> do_uncancel(int me, const PeerStep& step, What& what);
  Task<void> do_cancelling(int me, const PeerStep& step, What& what);
  Task<void> do_timeout(int me, const PeerStep& step, What& what);
  Task<void> do_hold(int me, const PeerStep& step, What& what);
  Task<void> do_group(int me, const PeerStep& step, What& what);
  Task<void> do_group_spawn(int me, const PeerStep& step, What& what);
  Task<void> do_fail(int me, const PeerStep& step, What& what);
  Task<void> do_throw(int me, const PeerStep& step, What& what);
  Task<void> do_catch(int me, const PeerStep& step, What& what);
  Task<void> do_rescue(int me, const PeerStep& step, What& what);
  Task<void> do_finally(int me, const PeerStep& step, What& what);
  Task<void> do_gather(int me, const PeerStep& step, What& what);
  Task<void> do_settle(int me, const PeerStep& step, What& what);
  Task<void> do_as_completed(int me, const PeerStep& step, What& what);
  Task<void> do_wait(int me, const PeerStep& step, What& what);
  Task<void> do_shield(int me, const PeerStep& step, What& what);
  Task<void> do_shield_new(int me, const PeerStep& step, What& what);
  Task<void> do_put(int me, const PeerStep& step, What& what);
  Task<void> do_get(int me, const PeerStep& step, What& what);
  Task<void> do_put_nowait(int me, const PeerStep& step, What& what);
  Task<void> do_get_nowait(int me, const PeerStep& step, What& what);
  Task<void> do_task_done(int me, const PeerStep& step, What& what);
  Task<void> do_join_queue(int me, const PeerStep& step, What& what);
  Task<void> do_shutdown(int me, const PeerStep& step, What& what);
  Task<void> do_notified(int me, const PeerStep& step, What& what);
  Task<void> do_notify(int me, const PeerStep& step, What& what);
  Task<void> do_locked(int me, const PeerStep& step, What& what);
  Task<void> do_permitted(int me, const PeerStep& step, What& what);
  Task<void> do_set(int me, const PeerStep& step, What& what);
  Task<void> do_clear(int me, const PeerStep& step, What& what);
  Task<void> do_await_event(int me, const PeerStep& step, What& what);

  const PeerProgram& program_;
  EventLoop* loop_ = nullptr;
  TimePoint start_;
  std::vector<std::string> log_;
  std::map<int, TaskHandle> tasks_;
  std::map<int, TaskGroup*> groups_;
  // As many as programs.py has.
  std::deque<Queue<int>> queues_;
  std::deque<Lock> locks_{2};
  std::deque<Semaphore> semaphores_;
  std::deque<Event> events_{2};
  std::deque<Condition> conditions_{1};
};

}  // namespace heddle::test
