// The awaitables of a socket: receive, peek, send, send all, connect. Each tries first and waits second.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "../../runtime/core/timer_heap.hpp"
#include "../../runtime/loop/fd_watch.hpp"
#include "../../selector/timeout.hpp"
#include "fd.hpp"
#include "result.hpp"
#include "transfer_turn.hpp"

struct sockaddr;

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// One system call on a socket, made again when the socket is ready, until it succeeds or fails.
class HEDDLE_EXPORT SocketOperation : public DescriptorOperation {
 public:
  /// Valid once the operation has begun.
  int fileno() const noexcept { return fd(); }

 protected:
  explicit SocketOperation(Fd& socket) noexcept : DescriptorOperation(socket.slot()) {}
  SocketOperation(const SocketOperation& other) noexcept : DescriptorOperation(other.slot()) {}
  ~SocketOperation() = default;

  void fail(int error) noexcept final { result_ = -error; }
  /// Called when attempt() has returned false and the task is suspended. An Op may have its own.
  void after_attempt() noexcept {}

  /// For await_ready() of an operation that needs no system call: true. Throws Cancelled.
  bool done_at_once() {
    check_can_begin();
    result_ = 0;
    finish();
    return true;
  }

  /// For try_now(): tries once; false when `self` would have to wait. Throws std::system_error and
  /// std::logic_error.
  template <class Op>
  static bool done_now(Op& self);

  /// For await_resume(): throws Cancelled or std::system_error unless the operation has succeeded.
  void check(const char* name) const {
    if (result_ < 0) [[unlikely]]
      failure(name).raise();
  }
  /// Throws Cancelled.
  Failure failure(const char* name) const {
    check_cancelled();
    return {static_cast<int>(-result_), name, fd()};
  }

  std::ptrdiff_t result_;  ///< what the call returned: a negative errno where it failed
};

/// A SocketOperation that moves as much as it was given, in as many turns of its task as that takes.
class HEDDLE_EXPORT SteppedOperation : public SocketOperation {
 protected:
  using SocketOperation::SocketOperation;
  SteppedOperation(const SteppedOperation&) noexcept = default;
  ~SteppedOperation() = default;

  /// For attempt(): `return at_next_turn()`: try again then. Always false, as attempt() has to return.
  bool at_next_turn() noexcept {
    goes_on_ = true;
    return false;
  }
  void after_attempt() noexcept {
    if (!goes_on_) return;
    goes_on_ = false;
    unpause();
  }

 private:
  bool goes_on_ = false;
};

/// A SocketOperation that can also wait for a time: where the socket is ready, but the call can't succeed yet
/// (no descriptor left, the receiver's queue full), or where other tasks are to get a turn.
class HEDDLE_EXPORT PausingOperation : public SocketOperation, private Timer {
 protected:
  explicit PausingOperation(Fd& socket) noexcept : SocketOperation(socket), Timer(&end_pause) {}
  PausingOperation(const PausingOperation& other) noexcept : SocketOperation(other), Timer(&end_pause) {}
  ~PausingOperation() = default;

  // For attempt().

  /// `return retry_after(pause)`: try again after `pause`, not earlier; 0: at the task's next turn. Always
  /// false, as attempt() has to return then.
  bool retry_after(Duration pause) noexcept {
    pause_ = pause;
    due_ = true;
    return false;
  }
  /// To be asked first: an event has woken the operation during its pause, and attempt() has to return false.
  bool still_pausing() noexcept {
    if (!armed()) return false;
    pause();
    return true;
  }
  void after_attempt() noexcept {
    if (due_) begin_pause();
  }

 private:
  void leaving(bool watch_is_going) noexcept final;
  void begin_pause() noexcept;
  static void end_pause(Timer& timer) noexcept;

  Duration pause_{};
  bool due_ = false;
};

/// How an operation on a socket is awaited and yields its result, the same for all. The class `Op` that
/// derives from it has, beside attempt(), a `name` for its errors, and value(), which is called once after
/// success.
template <class Op, Direction way, class Base = SocketOperation>
class HEDDLE_EXPORT SocketOperationOf : public Base {
 public:
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    return start(coroutine, frame_of(coroutine.promise()));
  }
  /// Throws Cancelled or std::system_error.
  auto await_resume() {
    this->check(Op::name);
    return self().value();
  }
  template <class T = Op>
  auto take_result() -> Result<decltype(std::declval<T&>().value())> {
    if (this->result_ < 0) return this->failure(Op::name);
    if constexpr (std::is_void_v<decltype(std::declval<T&>().value())>)
      return {};
    else
      return self().value();
  }
  /// To await it for a Result instead of a std::system_error.
  AsResult<Op> as_result() && noexcept { return AsResult<Op>(self()); }

  bool advance() noexcept;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return way; }

 protected:
  using Base::Base;
  SocketOperationOf(const SocketOperationOf&) noexcept = default;
  ~SocketOperationOf() = default;

  bool start(std::coroutine_handle<> coroutine, AsyncFrame* frame);

 private:
  Op& self() noexcept { return static_cast<Op&>(*this); }
};

/// Whether a receive that got fewer bytes than it had room for has drained the socket, so that the next one
/// waits without trying.
enum class ShortRead : unsigned char {
  EMPTIES,  ///< Always: TCP.
  /// Nearly always. But a Unix socket delivers bytes that came with descriptors (or, with SO_PASSCRED, from
  /// another process) apart from those that follow. On Linux MSG_CTRUNC reports this to a recvmsg(2) without
  /// a control buffer (unix(7)), but nothing does to recv(2), which costs less. So after a short recv() the
  /// loop polls the socket once more 100 ms later: what follows descriptors that nobody asked for may be read
  /// that much later.
  MAY_LEAVE_MORE,
};

/// Yields how many bytes came, at most most_per_turn; 0: the peer has ended its side (or the buffer is
/// empty). Cancel-safe: nothing is lost.
template <ShortRead short_read>
class HEDDLE_EXPORT BasicReceiveOperation final
    : public SocketOperationOf<BasicReceiveOperation<short_read>, Direction::READ> {
  using Base = SocketOperationOf<BasicReceiveOperation, Direction::READ>;

 public:
  BasicReceiveOperation(Fd& socket, std::span<std::byte> buffer)
      : Base(socket), data_(buffer.data()), size_(of_one_turn(buffer.size())) {}

  bool await_ready() {
    if (size_ != 0) [[likely]]
      return false;
    return this->done_at_once();
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    AsyncFrame* const frame = frame_of(coroutine.promise());
    return this->wait_at_once(*this, coroutine, frame) || this->start(coroutine, frame);
  }
  /// StreamSocket::try_read_some().
  static std::optional<std::size_t> try_now(Fd& socket, std::span<std::byte> buffer);

  // For the base classes.

  static constexpr const char* name = "recv";
  std::size_t value() const noexcept { return static_cast<std::size_t>(this->result_); }
  bool attempt(int fd, FdWatch* watch) noexcept;
  static void step(Runnable& runnable);

 private:
  static void step_unusual(TaskState& task);
  void receive(int fd) noexcept;
  bool has_drained(FdWatch& watch) const noexcept;
  bool settle(int fd, FdWatch* watch) noexcept;

  std::byte* data_;
  std::size_t size_;
};
using ReceiveOperation = BasicReceiveOperation<ShortRead::EMPTIES>;

/// Copies bytes that the next receive gets again, and yields how many; 0: the peer has ended its side (or the
/// buffer is empty). Cancel-safe.
class HEDDLE_EXPORT PeekOperation final : public SocketOperationOf<PeekOperation, Direction::READ> {
 public:
  PeekOperation(Fd& socket, std::span<std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(of_one_turn(buffer.size())) {}

  bool await_ready() { return size_ == 0 && done_at_once(); }

  // For the base classes.

  static constexpr const char* name = "recv";
  std::size_t value() const noexcept { return static_cast<std::size_t>(result_); }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  std::byte* data_;
  std::size_t size_;
};

/// Yields how many bytes the kernel took: at least one, of a buffer that isn't empty, and at most
/// most_per_turn. Cancel-safe: cancelled, it sent nothing.
class HEDDLE_EXPORT SendOperation final : public SocketOperationOf<SendOperation, Direction::WRITE> {
 public:
  SendOperation(Fd& socket, std::span<const std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(of_one_turn(buffer.size())) {}

  bool await_ready() { return size_ == 0 && done_at_once(); }
  /// StreamSocket::try_write_some().
  static std::size_t try_now(Fd& socket, std::span<const std::byte> buffer);

  // For the base classes.

  static constexpr const char* name = "send";
  std::size_t value() const noexcept { return static_cast<std::size_t>(result_); }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  const std::byte* data_;
  std::size_t size_;
};

/// Yields when the kernel has taken the whole buffer, most_per_turn at each turn of the task; concurrent ones
/// on a socket don't mix their bytes. Not cancel-safe: cancelled or failed, it may have sent a part.
class HEDDLE_EXPORT SendAllOperation final : public SocketOperationOf<SendAllOperation, Direction::WRITE> {
 public:
  SendAllOperation(Fd& socket, std::span<const std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(buffer.size()) {}

  /// Mostly the kernel takes everything at once: that case, of little, is inline.
  bool await_ready() {
    if (size_ > bytes_of_operation || --current.budget < 0 || !slot().watch->side(direction()).may_try())
        [[unlikely]]
      result_ = not_tried;
    else
      result_ = current.system->send(slot().fd, data_, size_, 0);
    return result_ == static_cast<std::ptrdiff_t>(size_);
  }
  /// All other cases begin here, in a call of their own, which the inline one needn't save registers for.
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    return start(coroutine, frame_of(coroutine.promise()));
  }
  void await_resume() const { check(name); }

  // For the base classes.

  static constexpr const char* name = "send";
  /// How many bytes were sent: all.
  std::size_t value() const noexcept { return size_; }
  bool attempt(int fd, FdWatch* watch) noexcept;
  void after_attempt() noexcept {
    if (result_ == goes_on) unpause();
  }

 private:
  // Of result_; no call returns them. There was no send() since it had to wait, or none at all; or its turn
  // is over, and the next goes on.
  static constexpr std::ptrdiff_t not_tried = PTRDIFF_MIN;
  static constexpr std::ptrdiff_t goes_on = PTRDIFF_MIN + 1;
  bool start(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  const std::byte* data_;
  std::size_t size_;
  std::size_t sent_;
};

/// Connects a socket that isn't connected yet. Yields nothing. Cancelled, the socket is of no more use.
class HEDDLE_EXPORT ConnectOperation final : public SocketOperationOf<ConnectOperation, Direction::WRITE> {
 public:
  /// An Address or UnixAddress, which is read when the operation is awaited.
  template <class SomeAddress>
  ConnectOperation(Fd& socket, const SomeAddress& address)
      : SocketOperationOf(socket), address_(address.data()), length_(address.length()) {}

  // For the base classes.

  static constexpr const char* name = "connect";
  void value() const noexcept {}
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  const sockaddr* address_;
  unsigned length_;
  bool begun_ = false;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
