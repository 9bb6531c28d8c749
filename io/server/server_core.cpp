// Serving: tasks that accept, tasks that handle, and the steps in which they end.
// SPDX-License-Identifier: MIT
#include "server_core.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "../../runtime/core/operation.hpp"
#include "../../runtime/core/trace.hpp"
#include "../../runtime/loop/event_loop.hpp"
#include "../../runtime/task/join_handle.hpp"
#include "server.hpp"

namespace heddle {

// The tasks of one serve() that accept.
class ServerCore::Acceptors final : public TaskOwner {
 public:
  Acceptors(ServerCore& core, Scheduler& loop) noexcept : TaskOwner(loop), core_(core) {}

 private:
  void child_done(TaskState& task) noexcept override { core_.acceptor_ended(task); }
  ServerCore& core_;
};

// Those that handle connections.
class ServerCore::Handlers final : public TaskOwner {
 public:
  Handlers(ServerCore& core, Scheduler& loop) noexcept : TaskOwner(loop), core_(core) {}

 private:
  void child_done(TaskState&) noexcept override { core_.child_ended(); }
  ServerCore& core_;
};

// Waits until all have ended.
class ServerCore::Wait final : public Operation {
 public:
  explicit Wait(ServerCore& core) noexcept : core_(core) {}

  bool await_ready() {
    begin();
    return core_.all_ended();
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
    core_.waiting_ = this;
    suspend(*this, coroutine);
  }
  void await_resume() const {
    if (stopped_) throw_cancelled();
  }
  Stop cancel() noexcept override {
    if (core_.waiting_ == nullptr) return Stop::TOO_LATE;
    core_.waiting_ = nullptr;
    stopped_ = true;
    return Stop::STOPPED;
  }
  WaitInfo describe() const noexcept override {
    WaitInfo info;
    info.what = core_.is_serving() ? "connections" : "the last of its connections";
    info.for_children = !core_.is_serving();
    return info;
  }
  void end() noexcept {
    core_.waiting_ = nullptr;
    wake();
  }

 private:
  ServerCore& core_;
  bool stopped_ = false;
};

namespace {

// Groups that a task has while it lives here.
class GroupsOf {
 public:
  GroupsOf(TaskState& task, TaskOwner& first, TaskOwner& second)
      : task_(task), first_(first), second_(second) {
    task.add_group(first);
    task.add_group(second);
  }
  GroupsOf(const GroupsOf&) = delete;
  GroupsOf& operator=(const GroupsOf&) = delete;
  ~GroupsOf() {
    task_.remove_group(second_);
    task_.remove_group(first_);
  }

 private:
  TaskState& task_;
  TaskOwner& first_;
  TaskOwner& second_;
};

// Tasks may wait for each other in a ring, and many handlers for the same crowd: so a look has an end. Who
// is behind that isn't idle.
constexpr int most_tasks_looked_at = 256;

// When something has gone on last in `task`, or in a task that it waits for.
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

}  // namespace

Server::Server(const ServerOptions& options) : core_(new ServerCore(options)) {}

void Server::throw_moved_from() { throw std::logic_error("a Server that was moved from"); }

Server::~Server() {
  if (core_ == nullptr) return;
  core_->stop(Duration(0));
  core_->release();
}

ServerSource::~ServerSource() = default;

void ServerSource::run(ServerConnection& connection, Task<void> handler) {
  core_.run(connection, std::move(handler), where_);
}

void ServerSource::not_started(ServerConnection* connection) noexcept {
  ++core_.counters_.failed;
  deliver_report(Report{"a connection could not be served", std::current_exception(), where_});
  delete connection;
}

namespace {

// The errno that an exception tells of; 0 for one that tells of none.
int errno_of(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  } catch (const std::system_error& failure) {
    const std::error_condition condition = failure.code().default_error_condition();
    return condition.category() == std::generic_category() ? condition.value() : 0;
  } catch (...) {
    return 0;
  }
}

bool may_pass(int error) noexcept {
  switch (error) {
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
    case ENOSPC:  // of descriptors that epoll may watch
      return true;
    default:
      return false;
  }
}

}  // namespace

void ServerSource::pass_or_rethrow() {
  if (!may_pass(errno_of(std::current_exception()))) throw;
  if (!std::exchange(wanting_, true))
    deliver_report(Report{"accepting pauses", std::current_exception(), where_});
}

ServerConnection::~ServerConnection() {
  if (armed()) core_->loop_->timers().remove(*this);
}

void ServerConnection::task_done(TaskState& task) noexcept { core_->connection_ended(*this, task); }

void ServerConnection::expire(Timer& timer) noexcept {
  auto& self = static_cast<ServerConnection&>(timer);
  self.core_->deadline(self);
}

ServerCore::~ServerCore() {
  while (sources_ != nullptr) delete std::exchange(sources_, sources_->next_);
}

void ServerCore::release() noexcept {
  if (--references_ == 0) delete this;
}

void ServerCore::add(ServerSource& source) {
  source.next_ = sources_;
  sources_ = &source;
  if (stage_ == Stage::NEW) return;
  try {
    if (stage_ != Stage::SERVING) throw std::logic_error("a Server that was stopped can't listen any more");
    launch(source);
  } catch (...) {
    sources_ = source.next_;
    delete &source;
    throw;
  }
}

void ServerCore::launch(ServerSource& source) {
  static_cast<void>(spawn_for(*acceptors_, source.accept_all(), source.where_));
}

Task<void> ServerCore::serve(Reference self) {
  ServerCore& core = *self.operator->();
  if (core.stage_ == Stage::CLOSED) co_return;
  if (core.stage_ != Stage::NEW) throw std::logic_error("Server.serve() runs already");
  if (core.sources_ == nullptr) throw std::logic_error("a Server that listens nowhere can't serve");
  TaskState& task = *current.task;
  core.loop_ = current.loop;
  Acceptors acceptors(core, *core.loop_);
  Handlers handlers(core, *core.loop_);
  const GroupsOf groups(task, acceptors, handlers);
  core.acceptors_ = &acceptors;
  core.handlers_ = &handlers;
  core.stage_ = Stage::SERVING;
  // From here on nothing is thrown before the last child has ended.
  try {
    for (ServerSource* source = core.sources_; source != nullptr; source = source->next_)
      core.launch(*source);
  } catch (...) {
    core.failure_ = std::current_exception();
    core.stop(Duration(0));
  }
  bool stop = false;
  while (!core.all_ended()) {
    try {
      co_await Wait(core);
    } catch (const Cancelled&) {
      if (std::exchange(stop, true))
        core.next_stage();
      else
        core.stop(core.options_.grace);
    }
  }
  core.enter(Stage::CLOSED, std::nullopt);
  core.acceptors_ = nullptr;
  core.handlers_ = nullptr;
  core.closed_.set();
  if (core.failure_) {
    if (stop) task.defer_cancel();
    std::rethrow_exception(core.failure_);
  }
  if (stop) throw Cancelled();
}

Task<void> ServerCore::close(Reference self, Timeout grace) {
  self->stop(grace);
  co_await self->closed_.wait();
}

void ServerCore::stop(Timeout grace) noexcept {
  stopping_.set();
  if (stage_ == Stage::NEW) {
    enter(Stage::CLOSED, std::nullopt);
    closed_.set();
  } else if (stage_ == Stage::SERVING) {
    enter(Stage::FINISHING, grace);
    // Before the listeners are closed: so a connection that has been accepted already is served.
    acceptors_->cancel_children();
  } else if (stage_ == Stage::FINISHING) {
    if (!grace.forever() && (!timer_.armed() || loop_->deadline_after(grace.duration()) < stage_ends_))
      enter(Stage::FINISHING, grace);
    return;
  } else {
    return;
  }
  for (ServerSource* source = sources_; source != nullptr; source = source->next_) source->close();
}

// Begins a stage that lasts no longer than `limit`.
void ServerCore::enter(Stage stage, Timeout limit) noexcept {
  stage_ = stage;
  if (timer_.armed()) loop_->timers().remove(timer_);
  if (waiting_ != nullptr && all_ended()) waiting_->end();
  if (limit.forever()) return;
  if (!limit.only_looks()) try {
      stage_ends_ = loop_->deadline_after(limit.duration());
      loop_->timers().add(timer_, stage_ends_);
      return;
    } catch (const std::bad_alloc&) {  // without memory there is no grace
    }
  next_stage();
}

void ServerCore::StageTimer::expire(Timer& timer) noexcept {
  static_cast<StageTimer&>(timer).core.next_stage();
}

void ServerCore::next_stage() noexcept {
  switch (stage_) {
    case Stage::FINISHING:
      handlers_->cancel_children();
      enter(Stage::CANCELLING, options_.abort_after);
      break;
    case Stage::CANCELLING:
      abort_all();
      enter(Stage::ABORTING, std::chrono::seconds(10));
      break;
    case Stage::ABORTING:
      report_overdue();
      enter(Stage::OVERDUE, std::nullopt);
      break;
    default:
      break;
  }
}

void ServerCore::abort_all() noexcept {
  for (ServerConnection* each = connections_; each != nullptr; each = each->next_) abort(*each);
  handlers_->cancel_children();
}

void ServerCore::report_overdue() const noexcept {
  if (counters_.active == 0) return;
  deliver_report(
      Report{"a Server that was stopped waits for handlers that go on, though they were cancelled and their "
             "connections were reset",
             nullptr, connections_->task_->where()});
}

bool ServerCore::all_ended() const noexcept {
  return stage_ != Stage::SERVING && acceptors_->first_child() == nullptr &&
         handlers_->first_child() == nullptr;
}

void ServerCore::child_ended() noexcept {
  if (waiting_ != nullptr && all_ended()) waiting_->end();
}

// No accept() fails for what concerns one connection only: so this listener is broken, or somebody has
// cancelled its task. Peers would wait for it in vain.
void ServerCore::acceptor_ended(TaskState& task) noexcept {
  const bool serving = stage_ == Stage::SERVING;
  if (task.outcome() == Outcome::ERROR) {
    task.mark_retrieved();
    if (serving) failure_ = task.error();
  }
  if (serving) stop(failure_ ? Timeout(Duration(0)) : options_.grace);
  child_ended();
}

void ServerCore::run(ServerConnection& connection, Task<void> handler, std::source_location where) {
  connection.core_ = this;
  connection.began_ = loop_->time();
  watch(connection);
  TaskState& task = spawn_for(*handlers_, std::move(handler), where).state();
  connection.task_ = &task;
  connection.link_ = &connections_;
  connection.next_ = connections_;
  if (connection.next_ != nullptr) connection.next_->link_ = &connection.next_;
  connections_ = &connection;
  task.add_observer(connection);
  ++counters_.active;
  ++counters_.accepted;
  if (stage_ > Stage::FINISHING) task.cancel();
}

void ServerCore::connection_ended(ServerConnection& connection, TaskState& task) noexcept {
  *connection.link_ = connection.next_;
  if (connection.next_ != nullptr) connection.next_->link_ = connection.link_;
  --counters_.active;
  if (task.outcome() == Outcome::ERROR) {
    task.mark_retrieved();
    ++counters_.failed;
    if (!is_no_news(task.error(), connection.aborted_)) report_failure(connection, task);
  }
  delete &connection;
}

void ServerCore::report_failure(const ServerConnection& connection, const TaskState& task) const noexcept {
  // The descriptor's number alone would say little to who reads it later.
  constexpr std::string_view who = "the handler of a connection failed";
  char text[192];
  Report report{who, task.error(), task.where(), task.name(), task.id(), task.trace()};
  const int fd = connection.fileno();
  if (char what[128]; fd >= 0 && loop_->system().describe(fd, what, sizeof what)) {
    const int size =
        std::snprintf(text, sizeof text, "%.*s (%s)", static_cast<int>(who.size()), who.data(), what);
    report.message = std::string_view(text, static_cast<std::size_t>(size));
  }
  deliver_report(report);
}

// What says no more than that the connection has gone, by the peer's doing or by ours.
bool ServerCore::is_no_news(const std::exception_ptr& error, bool aborted) const noexcept {
  switch (errno_of(error)) {
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return aborted || !options_.report_disconnects;
    case ECANCELED:
    case EBADF:
      return aborted;
    default:
      return false;
  }
}

// Sets the timer for when something may have to be done about the connection.
void ServerCore::watch(ServerConnection& connection) const {
  const Timeout first = options_.idle.forever() ? options_.lifetime
                        : options_.lifetime.forever()
                            ? options_.idle
                            : std::min(options_.idle.duration(), options_.lifetime.duration());
  if (!first.forever()) loop_->timers().add(connection, loop_->deadline_after(first.duration()));
}

// The timer of a connection has fired: for its lifetime, to look whether it is idle, or to abort it.
void ServerCore::deadline(ServerConnection& connection) noexcept {
  TaskState& task = *connection.task_;
  if (connection.timed_out_) {
    abort(connection);
    task.cancel();
    return;
  }
  const TimePoint now = loop_->time();
  Timeout left = options_.lifetime;
  if (!left.forever()) left = left.duration() - (now - connection.began_);
  if (!options_.idle.forever()) {
    int tasks = most_tasks_looked_at;
    const Duration quiet = now - std::max(connection.began_, last_activity(task, now, tasks));
    const Duration rest = options_.idle.duration() - quiet;
    if (left.forever() || rest < left.duration()) left = rest;
  }
  if (left.only_looks()) {
    connection.timed_out_ = true;
    ++counters_.timed_out;
    task.cancel();
    left = options_.abort_after;
    if (left.only_looks()) return abort(connection);
  }
  if (left.forever()) return;
  try {
    loop_->timers().add(connection, loop_->deadline_after(left.duration()));
  } catch (const std::bad_alloc&) {  // nobody would look after it any more
    task.cancel();
    abort(connection);
  }
}

void ServerCore::abort(ServerConnection& connection) noexcept {
  if (connection.aborted_ || !connection.abort()) return;
  connection.aborted_ = true;
  ++counters_.aborted;
}

}  // namespace heddle
