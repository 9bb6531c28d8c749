// ServerCore: the stages of a service, from accepting to closed; ServerSource: one listener of it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <chrono>
#include <cstddef>
#include <exception>
#include <source_location>
#include <utility>

#include "../../runtime/core/task.hpp"
#include "../../runtime/core/task_state.hpp"
#include "../../runtime/core/timer_heap.hpp"
#include "../../runtime/sync/event.hpp"
#include "../../runtime/sync/semaphore.hpp"
#include "../../selector/timeout.hpp"
#include "../operation/fd.hpp"
#include "connection.hpp"
#include "server_options.hpp"
#include "server_spread.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

class AllDone;
class ServerCore;

/// Accepts connections and starts their handlers; one for each listener.
class HEDDLE_EXPORT ServerSource {
 public:
  virtual ~ServerSource();

  /// How many sources its server had before it.
  std::size_t index() const noexcept { return index_; }

 protected:
  ServerSource(ServerCore& core, std::source_location where) noexcept : core_(core), where_(where) {}
  ServerSource(const ServerSource&) = delete;
  ServerSource& operator=(const ServerSource&) = delete;

  ServerCore& core() const noexcept { return core_; }
  /// Connection::serve(). Throws std::bad_alloc, and then the connection is still the caller's.
  void run(Connection& connection, Task<void> handler);
  /// How long accepting pauses when memory or descriptors have run out.
  static constexpr std::chrono::milliseconds pause{50};
  /// How long accepting may hold a place that other listeners wait for.
  static constexpr std::chrono::milliseconds place_timeout{100};
  /// In a catch block: throws the exception again, unless memory or descriptors have run out, which may pass:
  /// that is reported, once until accepted() is called.
  void report_shortage_or_rethrow();
  void accepted() noexcept { short_of_resources_ = false; }
  /// In a catch block: reports why, and destroys the connection, if there is one.
  void not_started(Connection* connection) noexcept;
  /// Runs `waiting` beside the handlers. Throws std::bad_alloc.
  void run_beside(Task<void> waiting);

 private:
  friend class ServerCore;
  virtual Task<void> accept_all() = 0;
  /// Serves a connection that another Server of the spread has accepted.
  virtual void take_over(Fd fd, SpreadMember::Place spread) noexcept = 0;
  virtual void close() noexcept = 0;

  ServerCore& core_;
  std::source_location where_;
  ServerSource* next_ = nullptr;
  std::size_t index_ = 0;
  bool short_of_resources_ = false;
};

/// What a Server shares with serve() and close(); references are counted on the loop's thread.
class HEDDLE_EXPORT ServerCore {
 public:
  explicit ServerCore(const ServerOptions& options) noexcept;
  ServerCore(const ServerCore&) = delete;
  ServerCore& operator=(const ServerCore&) = delete;

  class Reference {
   public:
    explicit Reference(ServerCore& core) noexcept : core_(&core) { ++core_->references_; }
    Reference(Reference&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
    Reference& operator=(Reference&&) = delete;
    ~Reference() {
      if (core_ != nullptr) core_->release();
    }
    ServerCore* operator->() const noexcept { return core_; }

   private:
    ServerCore* core_;
  };
  void release() noexcept;

  /// Takes over `source`, also when it throws.
  void add(ServerSource& source);
  static Task<void> serve(Reference self);
  void stop(Timeout grace) noexcept;
  static Task<void> close(Reference self, Timeout grace);

  EventOperation stopping() noexcept { return stopping_.wait(); }
  bool is_serving() const noexcept { return stage_ == Stage::SERVING; }
  const ServerOptions& options() const noexcept { return options_; }
  ServerCounters counters() const noexcept { return counters_; }
  /// One permit for each connection that max_connections allows; nullptr: any number.
  Semaphore* places() noexcept { return options_.max_connections != 0 ? &places_ : nullptr; }
  /// This one among those with which it shares connections; nullptr: there are none.
  SpreadMember* member() const noexcept { return member_.get(); }
  void count_handover() noexcept { ++counters_.handed_over; }

  // For the spread.

  /// A connection that another Server has accepted at its listener of that number.
  void take_over(std::size_t source, Fd fd, SpreadMember::Place place) noexcept;
  void handover_ended() noexcept { child_ended(); }

 private:
  friend class ServerSource;
  class Acceptors;
  class Handlers;

  // Each is reached from the one before, by time or by a request to stop.
  enum class Stage : unsigned char {
    NEW,
    SERVING,     // connections are accepted
    FINISHING,   // no more; handlers go on for the grace
    CANCELLING,  // handlers were asked to stop
    ABORTING,    // their connections were reset
    OVERDUE,     // it was reported that some go on all the same
    CLOSED,
  };

  // Enters the next stage when one has reached its limit.
  struct StageTimer final : Timer {
    explicit StageTimer(ServerCore& its_core) noexcept : Timer(&expire), core(its_core) {}
    static void expire(Timer& timer) noexcept;
    ServerCore& core;
  };

  ~ServerCore();

  void launch(ServerSource& source);
  void join_spread();
  void end_spread() noexcept;
  void enter(Stage stage, Timeout limit) noexcept;
  void next_stage() noexcept;
  void report_overdue() const noexcept;
  bool all_ended() const noexcept;
  void child_ended() noexcept;
  void acceptor_ended(TaskState& task) noexcept;

  const ServerOptions options_;
  Semaphore places_;
  const Ref<SpreadState> spread_;
  ServerSource* sources_ = nullptr;
  // Live in serve(), while it runs.
  Scheduler* loop_ = nullptr;
  Acceptors* acceptors_ = nullptr;
  Handlers* handlers_ = nullptr;
  AllDone* waiting_ = nullptr;
  Ref<SpreadMember> member_;
  std::exception_ptr failure_;

  StageTimer timer_{*this};
  TimePoint stage_ends_;  // while the timer is armed
  Event stopping_;
  Event closed_;
  ServerCounters counters_;
  unsigned references_ = 1;
  Stage stage_ = Stage::NEW;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
