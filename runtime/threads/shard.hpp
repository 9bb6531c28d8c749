// Shard, ShardSet: the objects of a Sharded as their loops know them; ShardCall: waiting for a call to one.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <exception>
#include <source_location>
#include <stdexcept>
#include <utility>

#include "../core/intrusive_list.hpp"
#include "../core/task.hpp"
#include "../core/task_owner.hpp"
#include "../core/task_state.hpp"
#include "remote_task.hpp"
#include "run_on_threads.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The object of a Sharded that was called has ended, or ended meanwhile.
class HEDDLE_EXPORT ShardEnded : public std::runtime_error {
 public:
  /// Of loop `index`.
  explicit ShardEnded(std::size_t index);
  ShardEnded(const ShardEnded&) noexcept;
  ~ShardEnded() override;
};

namespace detail {

class AllDone;
class Shard;
class ShardSet;

/// The place of one loop's object, as all threads know it: there as long as run_on_threads() runs. In the
/// child of a fork() only that of the loop that is there can be called.
class HEDDLE_EXPORT ShardSlot {
 public:
  std::size_t index() const noexcept { return index_; }
  /// The object, if it is this thread's; nullptr if it is another's. Throws ShardEnded if it was this one's.
  Shard* own() const;
  /// The object of this thread's loop. Throws ShardEnded.
  void* object() const;

  /// While it lives the object doesn't end, and can be sent to. Throws ShardEnded.
  struct HEDDLE_EXPORT Reached {
    explicit Reached(ShardSlot& slot);
    Reached(const Reached&) = delete;
    Reached& operator=(const Reached&) = delete;
    ~Reached();
    ShardSlot& slot;
    Shard& shard;
  };

 private:
  friend class Shard;
  friend class ShardSet;
  struct Sync;

  void set_shard(Shard* shard) const noexcept;

  std::size_t index_ = 0;
  Sync* sync_ = nullptr;
};

/// A task of the loop that calls the object within itself: it is asked to stop when the object ends, which
/// waits for it.
class HEDDLE_EXPORT ShardUse : public ListLink<ShardUse> {
 public:
  explicit ShardUse(Shard& shard) noexcept;
  ShardUse(const ShardUse&) = delete;
  ShardUse& operator=(const ShardUse&) = delete;
  ~ShardUse();

 private:
  friend class Shard;
  Shard& shard_;
  TaskState* task_;
};

/// One loop's object while it can be called: the calls of others are its children. Lives in ShardSet::run().
class HEDDLE_EXPORT Shard final : public TaskOwner {
 public:
  Shard(ShardSet& set, ShardSlot& slot, void* object) noexcept;
  ~Shard();

  void* object() const noexcept { return object_; }
  EventLoop& event_loop() const noexcept { return event_loop_; }
  ShardSlot& slot() const noexcept { return slot_; }

  // With the slot reached, or on its own thread.

  /// A message comes, which calls arrived().
  void expect_message() noexcept;

  // On its own thread.

  void arrived() noexcept;
  bool ending() const noexcept { return ending_; }

 private:
  friend class ShardSet;
  friend class ShardUse;
  // The message that all loops have come to where they wait for each other.
  struct Message final : Runnable {
    explicit Message(Shard& to) noexcept : Runnable(&on_message), shard(to) {}
    Shard& shard;
    static void on_message(Runnable& message) noexcept;
  };

  void child_done(TaskState&) noexcept override { note_end(); }
  void note_end() noexcept;
  bool all_ended() const noexcept;
  /// Waits for the message: false if it has come.
  Task<void> wait_for_others(unsigned stage, const char* what);
  Task<void> end();

  ShardSet& set_;
  ShardSlot& slot_;
  void* object_;
  EventLoop& event_loop_;
  IntrusiveList<ShardUse> uses_;
  AllDone* waiting_ = nullptr;
  Message message_{*this};
  unsigned messages_ = 0;       // on their way; atomic accesses only
  unsigned stages_passed_ = 0;  // of the set's
  unsigned stages_reached_ = 0;
  bool ending_ = false;
};

/// The slots of one Sharded.
class HEDDLE_EXPORT ShardSet {
 public:
  ShardSet() noexcept = default;
  ShardSet(const ShardSet&) = delete;
  ShardSet& operator=(const ShardSet&) = delete;
  ~ShardSet() = default;

  /// As long as run_on_threads() runs.
  class HEDDLE_EXPORT Running {
   public:
    /// Throws std::logic_error when it runs already.
    Running(ShardSet& set, std::size_t count);
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running();

   private:
    ShardSet& set_;
  };

  std::size_t size() const noexcept { return count_; }
  /// Throws ValueError, std::logic_error.
  ShardSlot& slot(std::size_t index) const;
  /// That of this thread's loop. Throws std::logic_error: "`operation`: ...".
  Shard& here(const char* operation) const;
  std::size_t index_here(const char* operation) const;
  /// Runs `function(index)` with the object of that loop there, and ends it.
  Task<void> run(std::size_t index, void* object, ThreadMain& function);

 private:
  friend class Shard;
  struct Sync;

  void reached(unsigned stage, Shard& shard) noexcept;

  ShardSlot* slots_ = nullptr;
  std::size_t count_ = 0;
  Sync* sync_ = nullptr;
};

/// The call to another loop's object as its own task there.
template <class T>
class ShardTask final : public RemoteTaskOf<T> {
 public:
  ShardTask(Shard& shard, Mailbox& mailbox, Task<T> task, std::source_location where) noexcept
      : RemoteTaskOf<T>(mailbox, std::move(task), where), shard_(shard) {}

  /// The object ended before this had its result.
  bool shard_ended() const noexcept { return shard_ended_; }

 private:
  ~ShardTask() override = default;

  void start(EventLoop&) override {
    Shard& shard = shard_;
    shard.arrived();
    shard_ended_ = shard.ending();
    if (shard_ended_)
      this->cancel_unstarted();
    else
      this->start_for(shard);
  }
  void take_outcome(TaskState& task) noexcept override {
    shard_ended_ = task.outcome() == Outcome::CANCELLED && shard_.ending();
    RemoteTaskOf<T>::take_outcome(task);
  }

  Shard& shard_;
  bool shard_ended_ = false;
};

/// Sends `call`. Throws ShardEnded.
template <class T>
Ref<RemoteTask> send_to_shard(ShardSlot& slot, Task<T> call, std::source_location where) {
  try {
    const ShardSlot::Reached reached(slot);
    Shard& shard = reached.shard;
    auto* const task = new ShardTask<T>(shard, mailbox_of(shard.event_loop()), std::move(call), where);
    auto sent = Ref<RemoteTask>::adopt(*task);
    shard.expect_message();
    task->begin();
    return sent;
  } catch (...) {
    call.release().destroy();  // it isn't a task that nobody awaited
    throw;
  }
}

/// Awaits a call to another loop's object.
template <class T>
class ShardCall final : public RemoteWait {
 public:
  /// As send_to_shard().
  ShardCall(ShardSlot& slot, Task<T> call, std::source_location where = std::source_location::current())
      : RemoteWait(*send_to_shard<T>(slot, std::move(call), where)), index_(slot.index()) {}

  WaitInfo describe() const noexcept override {
    WaitInfo info;
    info.what = "a call on the object of another loop (Sharded)";
    return info;
  }
  T await_resume() {
    check_stopped();
    auto& task = static_cast<ShardTask<T>&>(*target_);
    if (task.shard_ended() && !asked_) throw ShardEnded(index_);
    return task.take();
  }

 private:
  std::size_t index_;
};

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
