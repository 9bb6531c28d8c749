// Connection: one that is served: the deadlines of its handler, its reset, and the report of what ended it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <exception>
#include <source_location>
#include <utility>

#include "../../runtime/core/frame_allocator.hpp"
#include "../../runtime/core/intrusive_list.hpp"
#include "../../runtime/core/task.hpp"
#include "../../runtime/core/task_state.hpp"
#include "../../runtime/core/timer_heap.hpp"
#include "../../runtime/sync/semaphore.hpp"
#include "server_options.hpp"
#include "server_spread.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class Connections;

/// A connection, and the task of its handler. Allocated with new; once serve() has returned it deletes itself
/// when the handler is done.
class HEDDLE_EXPORT Connection : public ListLink<Connection>,
                                 public FrameAllocated,
                                 private TaskObserver,
                                 private Timer {
 public:
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  virtual ~Connection();

  /// Runs `handler` as a child of `connections`, which must outlive it. Throws std::bad_alloc; then the
  /// connection is still the caller's.
  TaskState& serve(Connections& connections, Task<void> handler, std::source_location where);
  /// Resets the connection, so that the handler can't wait for its peer any more. Has an effect only once.
  void abort() noexcept;
  /// Where the handler was spawned.
  std::source_location where() const noexcept { return task_->where(); }

 protected:
  /// `place`: of those that ServerOptions::max_connections allows; `spread`: where it is counted. Both are
  /// given back with the connection.
  explicit Connection(Guard<Semaphore> place, SpreadMember::Place spread = {}) noexcept
      : Timer(&expire), place_(std::move(place)), spread_(std::move(spread)) {}

 private:
  friend class Connections;

  virtual bool reset() noexcept = 0;        // false: the handler has taken the stream, or closed it
  virtual int fileno() const noexcept = 0;  // -1: there is no descriptor
  void task_done(TaskState& task) noexcept override;
  static void expire(Timer& timer) noexcept;
  void check_deadlines() noexcept;
  bool is_mere_disconnect(const std::exception_ptr& error) const noexcept;
  void report_failure() const noexcept;

  Connections* connections_ = nullptr;
  TaskState* task_ = nullptr;  // while the handler runs
  Guard<Semaphore> place_;
  SpreadMember::Place spread_;
  TimePoint began_;
  bool timed_out_ = false;
  bool aborted_ = false;
};

/// The connections that are served now: their handlers are its children.
class HEDDLE_EXPORT Connections : public TaskOwner {
 public:
  /// The options and the counters must outlive this.
  Connections(Scheduler& loop, const ServerOptions& options, ServerCounters& counters) noexcept
      : TaskOwner(loop), options_(options), counters_(counters) {}

  /// The newest; nullptr when there is none.
  const Connection* first() const noexcept { return all_.empty() ? nullptr : &all_.front(); }
  /// Resets all of them, and asks their handlers to stop.
  void abort_all() noexcept;

 protected:
  ~Connections() = default;

 private:
  friend class Connection;

  const ServerOptions& options_;
  ServerCounters& counters_;
  IntrusiveList<Connection> all_;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
