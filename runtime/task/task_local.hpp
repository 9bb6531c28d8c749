// TaskLocal<T>: a variable with a value of its own in each task; children begin with those of their parent.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <type_traits>
#include <utility>

#include "../core/frame_allocator.hpp"
#include "../core/local_value.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What contextvars.ContextVar is to Python: each task sees its own value; a task that is spawned begins with
/// the values that the spawning one has at that time, and changing them doesn't change the parent's. What is
/// awaited runs in the same task, so it shares them. A call that it awaits on another thread (to_thread())
/// sees the values that it had when it began to, and can't set them; the last who has a value destroys it, on
/// whatever thread. Callbacks have none, nor has a task for whose table there was no memory when it was
/// spawned. Tasks that use no locals pay nothing for them.
///
///     inline TaskLocal<std::string> request_id;
///     ...
///     request_id.set("4711");
///     if (const std::string* id = request_id.get()) log(*id);
///
/// To be declared with static storage: its address is its identity. Getting takes time linear in how many
/// locals the task has.
template <class T>
class TaskLocal {
  static_assert(!std::is_reference_v<T> && !std::is_const_v<T>);

 public:
  constexpr TaskLocal() noexcept = default;
  TaskLocal(const TaskLocal&) = delete;
  TaskLocal& operator=(const TaskLocal&) = delete;

  /// The current task's value, nullptr when it has none. Valid until it is set again in this task.
  const T* get() const noexcept {
    auto* const value = static_cast<Value*>(detail::find_local(this));
    return value != nullptr ? &value->value : nullptr;
  }
  /// A copy of it, or `otherwise`.
  T get_or(T otherwise) const {
    const T* const value = get();
    return value != nullptr ? *value : otherwise;
  }
  /// Throws std::logic_error outside of a task.
  void set(T value) {
    if (detail::LocalValue* const before = detail::exchange_local(this, new Value(std::move(value))))
      before->release();
  }
  void reset() {
    if (detail::LocalValue* const before = detail::exchange_local(this, nullptr)) before->release();
  }

  /// Sets a value while it lives, and puts the one before back, as the token of ContextVar.set() does. To
  /// live in a coroutine of the task.
  class [[nodiscard]] Scope {
   public:
    Scope(TaskLocal& local, T value)
        : local_(local), before_(detail::exchange_local(&local, new Value(std::move(value)))) {}
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope() {
      if (detail::LocalValue* const mine = detail::restore_local(&local_, before_)) mine->release();
    }

   private:
    TaskLocal& local_;
    detail::LocalValue* before_;
  };

 private:
  struct Value final : detail::LocalValue, detail::FrameAllocated {
    explicit Value(T&& its) : value(std::move(its)) {}
    T value;
  };
};

}  // namespace heddle

HEDDLE_HEADER_END
