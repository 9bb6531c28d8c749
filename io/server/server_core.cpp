// ServerCore: the tasks that accept, the group of handlers, and the stages in which they end.
// SPDX-License-Identifier: MIT
#include "server_core.hpp"

#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>

#include "../../runtime/core/all_done.hpp"
#include "../../runtime/core/operation.hpp"
#include "../../runtime/core/scheduler.hpp"
#include "../../runtime/core/trace.hpp"
#include "../../runtime/task/join_handle.hpp"
#include "error_number.hpp"
#include "server.hpp"

namespace heddle {

using namespace detail;

namespace detail {

// The tasks of one serve() that accept.
class ServerCore::Acceptors final : public TaskOwner {
 public:
  Acceptors(ServerCore& core, Scheduler& loop) noexcept : TaskOwner(loop), core_(core) {}

 private:
  void child_done(TaskState& task) noexcept override { core_.acceptor_ended(task); }
  ServerCore& core_;
};

// Connections of one serve().
class ServerCore::Handlers final : public Connections {
 public:
  Handlers(ServerCore& core, Scheduler& loop) noexcept
      : Connections(loop, core.options_, core.counters_), core_(core) {}

 private:
  void child_done(TaskState&) noexcept override { core_.child_ended(); }
  ServerCore& core_;
};

}  // namespace detail

namespace {

constexpr const char* last_ones = "the last of its connections";

// Registers two groups of children with a task, as long as it lives.
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

}  // namespace

Server::Server(const ServerOptions& options) : core_(new ServerCore(options)) {}

void Server::throw_moved_from() { throw std::logic_error("a Server that was moved from"); }

Server::~Server() {
  if (core_ == nullptr) return;
  core_->stop(Duration(0));
  core_->release();
}

ServerSource::~ServerSource() = default;

void ServerSource::run(Connection& connection, Task<void> handler) {
  TaskState& task = connection.serve(*core_.handlers_, std::move(handler), where_);
  if (core_.stage_ > ServerCore::Stage::FINISHING) task.cancel();
}

void ServerSource::not_started(Connection* connection) noexcept {
  ++core_.counters_.failed;
  deliver_report(Report{"a connection could not be served", std::current_exception(), where_});
  delete connection;
}

namespace {

bool is_shortage(int error) noexcept {
  switch (error) {
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
    case ENOSPC:  // the limit of descriptors that epoll watches
      return true;
    default:
      return false;
  }
}

}  // namespace

void ServerSource::report_shortage_or_rethrow() {
  if (!is_shortage(errno_of(std::current_exception()))) throw;
  if (!std::exchange(short_of_resources_, true))
    deliver_report(Report{"accepting pauses", std::current_exception(), where_});
}

void ServerSource::run_beside(Task<void> waiting) {
  TaskState& task = spawn_for(*core_.handlers_, std::move(waiting), where_).state();
  if (core_.stage_ > ServerCore::Stage::FINISHING) task.cancel();
}

ServerCore::ServerCore(const ServerOptions& options) noexcept
    : options_(options),
      places_(options.max_connections),
      spread_(options.spread != nullptr ? options.spread->state_ : Ref<SpreadState>()) {}

ServerCore::~ServerCore() {
  while (sources_ != nullptr) delete std::exchange(sources_, sources_->next_);
}

void ServerCore::release() noexcept {
  if (--references_ == 0) delete this;
}

void ServerCore::add(ServerSource& source) {
  source.next_ = sources_;
  source.index_ = sources_ != nullptr ? sources_->index_ + 1 : 0;
  sources_ = &source;
  if (stage_ == Stage::NEW) return;
  try {
    if (stage_ != Stage::SERVING) throw std::logic_error("a Server that was stopped can't listen any more");
    if (member_) member_->serves(source);
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

void ServerCore::join_spread() {
  if (!spread_) return;
  member_ = SpreadMember::join(*spread_, *this);
  loop_->allow_for_outside_work();  // other threads may send connections
  for (const ServerSource* source = sources_; source != nullptr; source = source->next_)
    member_->serves(*source);
}

void ServerCore::end_spread() noexcept {
  if (!member_) return;
  loop_->end_possible_outside_work();
  member_.reset();
}

void ServerCore::take_over(std::size_t source, Fd fd, SpreadMember::Place place) noexcept {
  ServerSource* taker = sources_;
  while (taker != nullptr && taker->index_ != source) taker = taker->next_;
  if (taker != nullptr) taker->take_over(std::move(fd), std::move(place));
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
  // From here on nothing may be thrown before the last child has ended: the groups live in this frame.
  try {
    core.join_spread();
    for (ServerSource* source = core.sources_; source != nullptr; source = source->next_)
      core.launch(*source);
  } catch (...) {
    core.failure_ = std::current_exception();
    core.stop(Duration(0));
  }
  bool stop = false;
  while (!core.all_ended()) {
    try {
      const bool serving = core.is_serving();
      co_await AllDone(core.waiting_, false, serving ? "connections" : last_ones, !serving);
    } catch (const Cancelled&) {
      if (std::exchange(stop, true))
        core.next_stage();
      else
        core.stop(core.options_.grace);
    } catch (...) {
      if (!core.failure_) core.failure_ = std::current_exception();
      core.stop(Duration(0));
    }
  }
  core.enter(Stage::CLOSED, std::nullopt);
  core.end_spread();
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
  if (member_) member_->leave();
  if (stage_ == Stage::NEW) {
    enter(Stage::CLOSED, std::nullopt);
    closed_.set();
  } else if (stage_ == Stage::SERVING) {
    enter(Stage::FINISHING, grace);
    // Before the listeners are closed: so a connection that was accepted already is still served.
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
  if (waiting_ != nullptr) waiting_->describe_as(last_ones, true);
  child_ended();
  if (limit.forever()) return;
  if (!limit.only_polls()) try {
      stage_ends_ = loop_->deadline_after(limit.duration());
      loop_->timers().add(timer_, stage_ends_);
      return;
    } catch (const std::bad_alloc&) {  // without memory for the timer the stage ends at once
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
      handlers_->abort_all();
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

void ServerCore::report_overdue() const noexcept {
  if (handlers_->first() == nullptr) return;
  deliver_report(
      Report{"a Server that was stopped waits for handlers that go on, though they were cancelled and their "
             "connections were reset",
             nullptr, handlers_->first()->where()});
}

bool ServerCore::all_ended() const noexcept {
  return stage_ != Stage::SERVING && acceptors_->first_child() == nullptr &&
         handlers_->first_child() == nullptr && (!member_ || !member_->is_on_its_way());
}

void ServerCore::child_ended() noexcept {
  if (waiting_ != nullptr && all_ended()) AllDone::notify(waiting_);
}

// accept() doesn't fail for errors that concern one connection only: so the listener is broken, or its task
// was cancelled. Either ends the service, because peers would wait in vain.
void ServerCore::acceptor_ended(TaskState& task) noexcept {
  const bool serving = stage_ == Stage::SERVING;
  if (task.outcome() == Outcome::ERROR) {
    task.mark_retrieved();
    if (serving) failure_ = task.error();
  }
  if (serving) stop(failure_ ? Timeout(Duration(0)) : options_.grace);
  child_ended();
}

}  // namespace heddle
