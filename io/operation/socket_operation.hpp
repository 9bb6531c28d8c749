// The awaitables of a socket: receive, peek, send, send all, connect. Each tries first and waits second.
// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>

#include "../../runtime/core/timer_heap.hpp"
#include "../../runtime/loop/fd_watch.hpp"
#include "../../selector/timeout.hpp"
#include "fd.hpp"
#include "result.hpp"

struct sockaddr;

namespace heddle {

/// One system call on a socket, made again when the socket is ready, until it succeeds or fails.
class HEDDLE_EXPORT SocketOperation : public DescriptorOperation {
 public:
  /// Once it has begun.
  int fileno() const noexcept { return fd(); }

 protected:
  explicit SocketOperation(Fd& socket) noexcept : DescriptorOperation(socket.slot()) {}
  SocketOperation(const SocketOperation& other) noexcept : DescriptorOperation(other.slot()) {}
  ~SocketOperation() = default;

  void fail(int error) noexcept final { result_ = -error; }
  /// Called when attempt() has returned false and the task is suspended.
  void after_attempt() noexcept {}

  /// For await_ready() of an operation that has nothing to do. Throws Cancelled.
  bool done_at_once() {
    check_can_begin();
    result_ = 0;
    finish();
    return true;
  }

  /// For try_now() of an operation: try_once(). Throws std::system_error and std::logic_error.
  template <class Op>
  static bool done_now(Op& self);

  /// What await_resume() has to look at first. Throws Cancelled or std::system_error.
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

/// A SocketOperation that may also have to wait for a while, whatever events come.
class HEDDLE_EXPORT PausingOperation : public SocketOperation, private Timer {
 protected:
  explicit PausingOperation(Fd& socket) noexcept : SocketOperation(socket), Timer(&end_pause) {}
  PausingOperation(const PausingOperation& other) noexcept : SocketOperation(other), Timer(&end_pause) {}
  ~PausingOperation() = default;

  // For attempt().

  /// It is to try again after `pause` and not before; 0: at its task's next turn. Returns false, as attempt()
  /// does then.
  bool retry_after(Duration pause) noexcept {
    pause_ = pause;
    due_ = true;
    return false;
  }
  /// An event has woken it though it pauses: attempt() has to return false.
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

/// What the operations on sockets have in common: how they are awaited, and in which forms they yield what
/// they do. An Op has, beside attempt(), a `name` for its errors, and value(), which is called once it has
/// succeeded.
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

/// Whether a receive that got less than it had room for has left the socket empty.
enum class ShortRead : unsigned char {
  EMPTIES,  ///< It has: TCP.
  /// Mostly it has. But a Unix socket gives bytes that came with descriptors (or, with SO_PASSCRED, from
  /// another process) apart from those that follow. Linux says so to a recvmsg(2) without room for such
  /// things by MSG_CTRUNC (unix(7)); recv(2), which costs less, says nothing, and so the loop looks again
  /// (see SecondLook): who sends descriptors to somebody who doesn't ask for them may be answered 100 ms
  /// later.
  EMPTIES_UNLESS_CUT,
};

/// Yields how many bytes came; 0: the peer has ended its side (or the buffer is empty). Cancel-safe: nothing
/// is lost.
template <ShortRead short_read>
class HEDDLE_EXPORT BasicReceiveOperation final
    : public SocketOperationOf<BasicReceiveOperation<short_read>, Direction::READ> {
  using Base = SocketOperationOf<BasicReceiveOperation, Direction::READ>;

 public:
  BasicReceiveOperation(Fd& socket, std::span<std::byte> buffer)
      : Base(socket), data_(buffer.data()), size_(buffer.size()) {}

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
  bool has_emptied(FdWatch& watch) const noexcept;
  bool settle(int fd, FdWatch* watch) noexcept;

  std::byte* data_;
  std::size_t size_;
};
using ReceiveOperation = BasicReceiveOperation<ShortRead::EMPTIES>;

/// Yields how many bytes were copied that the next receive gets again; 0: the peer has ended its side (or the
/// buffer is empty). Cancel-safe.
class HEDDLE_EXPORT PeekOperation final : public SocketOperationOf<PeekOperation, Direction::READ> {
 public:
  PeekOperation(Fd& socket, std::span<std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(buffer.size()) {}

  bool await_ready() { return size_ == 0 && done_at_once(); }

  // For the base classes.

  static constexpr const char* name = "recv";
  std::size_t value() const noexcept { return static_cast<std::size_t>(result_); }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  std::byte* data_;
  std::size_t size_;
};

/// Yields how many bytes the kernel took: at least one, of a buffer that isn't empty. Cancel-safe: cancelled,
/// it sent nothing.
class HEDDLE_EXPORT SendOperation final : public SocketOperationOf<SendOperation, Direction::WRITE> {
 public:
  SendOperation(Fd& socket, std::span<const std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(buffer.size()) {}

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

/// Yields when the kernel has taken the whole buffer; concurrent ones on a socket don't mix their bytes. Not
/// cancel-safe: cancelled or failed, it may have sent a part.
class HEDDLE_EXPORT SendAllOperation final : public SocketOperationOf<SendAllOperation, Direction::WRITE> {
 public:
  SendAllOperation(Fd& socket, std::span<const std::byte> buffer)
      : SocketOperationOf(socket), data_(buffer.data()), size_(buffer.size()) {}

  /// Mostly the kernel takes everything at once.
  bool await_ready() {
    if (--current.budget < 0 || !slot().watch->side(direction()).may_try()) [[unlikely]]
      result_ = not_tried;
    else
      result_ = current.system->send(slot().fd, data_, size_, 0);
    return result_ == static_cast<std::ptrdiff_t>(size_);
  }
  /// All else is done from here, where no register is saved for it.
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

 private:
  static constexpr std::ptrdiff_t not_tried = -EINTR;  // nothing was sent, as when a signal comes
  bool start(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  bool settle(int fd, FdWatch* watch) noexcept;

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

}  // namespace heddle
