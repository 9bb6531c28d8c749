// SpawnedTask<T>: a task with room for its result.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstdint>
#include <exception>
#include <new>
#include <source_location>
#include <type_traits>

#include "frame_allocator.hpp"
#include "scheduler.hpp"
#include "task.hpp"
#include "task_state.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

inline TaskState::TaskState(std::coroutine_handle<> root, TaskOwner& owner,
                            std::source_location spawned_at) noexcept
    : Runnable(&run_first),
      owner_(&owner),
      resume_(root),
      queued_(true),
      where_(spawned_at),
      root_(root),
      next_sibling_(owner.children_),
      link_(&owner.children_),
      id_(owner.loop().next_task_id()) {
  spawned_by_ = static_cast<std::uint32_t>(current.task != nullptr ? current.task->id_ : id_);
  owner.children_ = this;
  if (next_sibling_ != nullptr) next_sibling_->link_ = &next_sibling_;
  owner.loop().ready_queue().push(*this);
}

inline void TaskState::inherit() noexcept {
  if (current.task != nullptr && (current.task->extras_or_observer_ & has_locals) != 0) [[unlikely]]
    inherit_locals(*current.task);
  if (owner_->loop().closing()) [[unlikely]]
    cancel();
}

/// A TaskState with room for the result, so that the coroutine's frame, and with it its parameters, can go at
/// once.
template <class T>
class SpawnedTask final : public TaskState, public FrameAllocated {
 public:
  SpawnedTask(typename Task<T>::Handle root, TaskOwner& owner, std::source_location spawned_at) noexcept
      : TaskState(root, owner, spawned_at) {
    inherit();
  }

  /// The result, once: throws std::logic_error to who takes it again, and what the task ended with to anyone.
  T take() {
    mark_retrieved();
    if (outcome() != Outcome::VALUE) throw_outcome();
    begin_taking();
    if constexpr (std::is_nothrow_move_constructible_v<T>) {
      return static_cast<T&&>(value_);
    } else {
      try {
        return static_cast<T&&>(value_);
      } catch (...) {
        end_taking();
        throw;
      }
    }
  }

 private:
  ~SpawnedTask() override {
    if (outcome() == Outcome::VALUE) value_.~T();
  }

  Outcome settle() noexcept override {
    auto& promise = Task<T>::Handle::from_address(root().address()).promise();
    if (promise.outcome() == Outcome::CANCELLED) return Outcome::CANCELLED;
    try {
      if (promise.outcome() == Outcome::VALUE) {
        ::new (static_cast<void*>(&value_)) T(promise.take());
        return Outcome::VALUE;
      }
      return keep_error(promise.error());
    } catch (...) {
      return keep_error(std::current_exception());
    }
  }

  union {
    T value_;
  };
};

template <>
class SpawnedTask<void> final : public TaskState, public FrameAllocated {
 public:
  SpawnedTask(Task<void>::Handle root, TaskOwner& owner, std::source_location spawned_at) noexcept
      : TaskState(root, owner, spawned_at) {
    inherit();
  }

  void take() {
    mark_retrieved();
    if (outcome() != Outcome::VALUE) throw_outcome();
  }

 private:
  ~SpawnedTask() override = default;

  Outcome settle() noexcept override {
    auto& promise = Task<void>::Handle::from_address(root().address()).promise();
    return promise.outcome() == Outcome::ERROR ? keep_error(promise.error()) : promise.outcome();
  }
};
static_assert(sizeof(void*) != 8 || sizeof(SpawnedTask<void>) == 128, "two lines of the cache");

}  // namespace heddle::detail

HEDDLE_HEADER_END
