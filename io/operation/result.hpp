// Result<T>: a value or a Failure, for hot paths without exceptions; AsResult: awaiting for one.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cerrno>
#include <coroutine>
#include <system_error>
#include <type_traits>
#include <utility>

#include "../../selector/errors.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// What failed: an errno, the call that gave it, and the descriptor it was made on (-1: none).
struct Failure {
  int error = 0;
  const char* operation = "";
  int fd = -1;

  std::error_code code() const noexcept { return {error, std::generic_category()}; }
  /// As std::system_error: "recv on fd 7: Connection reset by peer", "recv on a closed descriptor: Bad file
  /// descriptor", "connect: Connection refused".
  [[noreturn]] HEDDLE_EXPORT void raise() const;
};

/// The outcome of an operation that was awaited by as_result(): a T, or a Failure. T is a small value.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
  Result(const Failure& failure) noexcept : failure_(failure) {}

  bool has_value() const noexcept { return failure_.error == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws std::system_error when there is none.
  T& value() & {
    if (!has_value()) failure_.raise();
    return value_;
  }
  const T& value() const& {
    if (!has_value()) failure_.raise();
    return value_;
  }
  T&& value() && { return std::move(value()); }
  /// Undefined without a value.
  T& operator*() noexcept { return value_; }
  const T& operator*() const noexcept { return value_; }
  T* operator->() noexcept { return &value_; }
  const T* operator->() const noexcept { return &value_; }
  /// An empty code when there is a value.
  std::error_code error() const noexcept { return failure_.code(); }
  const Failure& failure() const noexcept { return failure_; }

 private:
  T value_{};
  Failure failure_;
};

/// The outcome of an operation that yields nothing.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() noexcept = default;
  Result(const Failure& failure) noexcept : failure_(failure) {}

  bool has_value() const noexcept { return failure_.error == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  /// Throws std::system_error when it has failed.
  void value() const {
    if (!has_value()) failure_.raise();
  }
  std::error_code error() const noexcept { return failure_.code(); }
  const Failure& failure() const noexcept { return failure_; }

 private:
  Failure failure_;
};

/// Awaits `Operation` and yields a Result instead of throwing. Cancelled is still thrown.
template <class Operation>
class [[nodiscard]] AsResult {
 public:
  using Native = void;

  explicit AsResult(const Operation& operation) noexcept : operation_(operation) {}

  bool await_ready() { return operation_.await_ready(); }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    try {
      if constexpr (std::is_void_v<decltype(operation_.await_suspend(coroutine))>) {
        operation_.await_suspend(coroutine);
        return true;
      } else {
        return operation_.await_suspend(coroutine);
      }
    } catch (const std::system_error& error) {
      refused_ = {error.code().value(), "waiting", operation_.fileno()};
    } catch (const ValueError&) {  // a selector that can't watch this descriptor
      refused_ = {EINVAL, "waiting", operation_.fileno()};
    }
    return false;
  }
  auto await_resume() -> decltype(std::declval<Operation&>().take_result()) {
    if (refused_.error != 0) return refused_;
    return operation_.take_result();
  }

 private:
  Operation operation_;
  Failure refused_;  // what kept the operation from waiting
};

}  // namespace heddle

HEDDLE_HEADER_END
