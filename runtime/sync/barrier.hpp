// Barrier: tasks that wait for each other to arrive, again and again.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <coroutine>
#include <cstddef>
#include <stdexcept>

#include "../core/wait_list.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

class Barrier;

/// The Barrier that a task waits at was aborted or reset.
struct HEDDLE_EXPORT BrokenBarrierError : std::runtime_error {
  BrokenBarrierError();
  ~BrokenBarrierError() override;
};

namespace detail {

class HEDDLE_EXPORT BarrierOperation final : public WaitOperation {
 public:
  explicit BarrierOperation(Barrier& barrier) noexcept : barrier_(barrier) {}

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) noexcept;
  std::size_t await_resume() const;

  Stop cancel() noexcept override;

 private:
  friend class heddle::Barrier;

  Barrier& barrier_;
  std::size_t index_ = 0;
};

}  // namespace detail

/// A point that `parties` tasks pass together, as asyncio.Barrier: wait() returns when the last of them has
/// arrived, and the barrier is there for the next round. On the loop's thread only. Who
/// waits when it is destroyed gets std::logic_error.
class HEDDLE_EXPORT Barrier {
 public:
  /// Throws ValueError for less than one.
  explicit Barrier(std::size_t parties);

  /// `co_await barrier.wait()` yields 0 in the task that came first, up to parties() - 1 in the one that came
  /// last. Throws BrokenBarrierError. Cancel-safe: who is cancelled has not arrived, and the others wait on.
  [[nodiscard]] detail::BarrierOperation wait() noexcept { return detail::BarrierOperation(*this); }

  /// All who wait get BrokenBarrierError; then the barrier can be used again.
  void reset() noexcept;
  /// All who wait, and all who come before a reset(), get BrokenBarrierError.
  void abort() noexcept;

  std::size_t parties() const noexcept { return parties_; }
  std::size_t n_waiting() const noexcept { return waiting_; }
  bool broken() const noexcept { return broken_; }

 private:
  friend class detail::BarrierOperation;

  bool arrive() noexcept;

  detail::WaitList waiters_;
  std::size_t parties_;
  std::size_t waiting_ = 0;
  bool broken_ = false;
};

namespace detail {

template <class Promise>
void BarrierOperation::await_suspend(std::coroutine_handle<Promise> coroutine) noexcept {
  wait(barrier_.waiters_, coroutine);
}

}  // namespace detail

}  // namespace heddle

HEDDLE_HEADER_END
