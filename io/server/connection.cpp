// Connection: when a connection is idle, what happens at its deadlines, and which ends are reported.
// SPDX-License-Identifier: MIT
#include "connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>
#include <string_view>

#include "../../runtime/core/operation.hpp"
#include "../../runtime/core/scheduler.hpp"
#include "../../runtime/core/trace.hpp"
#include "../../runtime/task/join_handle.hpp"
#include "error_number.hpp"

namespace heddle::detail {

namespace {

// Tasks may wait for each other in a cycle, and many handlers for the same tasks: so the search has a bound,
// beyond which a connection counts as active.
constexpr int most_tasks_searched = 256;

// When `task`, or one that it waits for, ran last; `now` if that is so at present, or `left` tasks were not
// enough to find out.
TimePoint last_activity(const TaskState& task, TimePoint now, int& left) noexcept {
  if (task.waits_at() == nullptr || task.queued() || --left < 0) return now;
  TimePoint latest = task.suspended_since();
  if (const TaskState* const other = task.waits_at()->describe().task)
    latest = std::max(latest, last_activity(*other, now, left));
  for (const TaskOwner* group = task.first_group(); group != nullptr; group = TaskState::next_group(*group))
    for (const TaskState* child = group->first_child(); child != nullptr && left > 0;
         child = child->next_sibling())
      latest = std::max(latest, last_activity(*child, now, left));
  return left > 0 ? latest : now;
}

Timeout sooner(Timeout a, Timeout b) noexcept {
  if (a.forever()) return b;
  if (b.forever()) return a;
  return std::min(a.duration(), b.duration());
}

}  // namespace

Connection::~Connection() {
  if (armed()) connections_->loop().timers().remove(*this);
}

TaskState& Connection::serve(Connections& connections, Task<void> handler, std::source_location where) {
  connections_ = &connections;
  Scheduler& loop = connections.loop();
  began_ = loop.time();
  const Timeout first = sooner(connections.options_.idle, connections.options_.lifetime);
  if (!first.forever()) loop.timers().add(*this, loop.deadline_after(first.duration()));
  task_ = &spawn_for(connections, std::move(handler), where).state();
  connections.all_.push_front(*this);
  task_->add_observer(*this);
  ++connections.counters_.active;
  ++connections.counters_.accepted;
  return *task_;
}

void Connection::task_done(TaskState& task) noexcept {
  IntrusiveList<Connection>::remove(*this);
  ServerCounters& counters = connections_->counters_;
  --counters.active;
  if (task.outcome() == Outcome::ERROR) {
    task.mark_retrieved();
    ++counters.failed;
    if (!is_mere_disconnect(task.error())) report_failure();
  }
  delete this;
}

void Connection::abort() noexcept {
  if (aborted_ || !reset()) return;
  aborted_ = true;
  ++connections_->counters_.aborted;
}

void Connection::expire(Timer& timer) noexcept { static_cast<Connection&>(timer).check_deadlines(); }

// The one timer of a connection fires at its lifetime, when it may have become idle, and abort_after later.
void Connection::check_deadlines() noexcept {
  TaskState& task = *task_;
  if (timed_out_) {
    abort();
    task.cancel();
    return;
  }
  const ServerOptions& options = connections_->options_;
  Scheduler& loop = connections_->loop();
  const TimePoint now = loop.time();
  Timeout left = options.lifetime;
  if (!left.forever()) left = left.duration() - (now - began_);
  if (!options.idle.forever()) {
    int tasks = most_tasks_searched;
    const Duration quiet = now - std::max(began_, last_activity(task, now, tasks));
    left = sooner(left, options.idle.duration() - quiet);
  }
  if (left.only_polls()) {
    timed_out_ = true;
    ++connections_->counters_.timed_out;
    task.cancel();
    left = options.abort_after;
    if (left.only_polls()) return abort();
  }
  if (left.forever()) return;
  try {
    loop.timers().add(*this, loop.deadline_after(left.duration()));
  } catch (const std::bad_alloc&) {  // without a timer nothing would end it later
    task.cancel();
    abort();
  }
}

// Whether `error` says no more than that the connection is gone, by the peer's doing or by abort().
bool Connection::is_mere_disconnect(const std::exception_ptr& error) const noexcept {
  switch (errno_of(error)) {
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return aborted_ || !connections_->options_.report_disconnects;
    case ECANCELED:
    case EBADF:
      return aborted_;
    default:
      return false;
  }
}

void Connection::report_failure() const noexcept {
  // With the addresses of the connection: its number alone would say little.
  constexpr std::string_view message = "the handler of a connection failed";
  char text[192];
  Report report{message, task_->error(), task_->where(), task_->name(), task_->id(), task_->trace()};
  const int fd = fileno();
  if (char what[128]; fd >= 0 && connections_->loop().system().describe(fd, what, sizeof what)) {
    const int size =
        std::snprintf(text, sizeof text, "%.*s (%s)", static_cast<int>(message.size()), message.data(), what);
    report.message = std::string_view(text, static_cast<std::size_t>(size));
  }
  deliver_report(report);
}

void Connections::abort_all() noexcept {
  for (Connection& each : all_) each.abort();
  cancel_children();
}

}  // namespace heddle::detail
