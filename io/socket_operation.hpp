// The awaitables of a socket: receive, send, send all, accept, connect. Each tries first and waits second.
// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstddef>
#include <span>

#include "../runtime/fd_watch.hpp"
#include "../runtime/timer_heap.hpp"
#include "address.hpp"
#include "fd.hpp"
#include "result.hpp"

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

/// Yields how many bytes came; 0: the peer has ended its side (or the buffer is empty). Cancel-safe: nothing
/// is lost.
class HEDDLE_EXPORT ReceiveOperation final : public SocketOperation {
 public:
  ReceiveOperation(Fd& socket, std::span<std::byte> buffer)
      : SocketOperation(socket), data_(buffer.data()), size_(buffer.size()) {}

  bool await_ready() {
    if (size_ != 0) [[likely]]
      return false;
    check_can_begin();
    result_ = 0;
    finish();
    return true;
  }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    AsyncFrame* const frame = frame_of(coroutine.promise());
    return wait_at_once(*this, coroutine, frame) || start(coroutine, frame);
  }
  std::size_t await_resume() const {
    check("recv");
    return static_cast<std::size_t>(result_);
  }
  Result<std::size_t> take_result() const {
    if (result_ < 0) return failure("recv");
    return static_cast<std::size_t>(result_);
  }
  AsResult<ReceiveOperation> as_result() && noexcept { return AsResult(*this); }

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return Direction::READ; }
  bool start(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  static void step(Runnable& runnable);
  static void step_unusual(TaskState& task);
  bool settle(int fd, FdWatch* watch) noexcept;
  bool attempt(int fd, FdWatch* watch) noexcept;

  std::byte* data_;
  std::size_t size_;
};

/// Yields how many bytes the kernel took: at least one, of a buffer that isn't empty. Cancel-safe: cancelled,
/// it sent nothing.
class HEDDLE_EXPORT SendOperation final : public SocketOperation {
 public:
  SendOperation(Fd& socket, std::span<const std::byte> buffer)
      : SocketOperation(socket), data_(buffer.data()), size_(buffer.size()) {}

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    suspend_here(coroutine, frame_of(coroutine.promise()));
  }
  std::size_t await_resume() const {
    check("send");
    return static_cast<std::size_t>(result_);
  }
  Result<std::size_t> take_result() const {
    if (result_ < 0) return failure("send");
    return static_cast<std::size_t>(result_);
  }
  AsResult<SendOperation> as_result() && noexcept { return AsResult(*this); }

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return Direction::WRITE; }
  void suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  bool attempt(int fd, FdWatch* watch) noexcept;

  const std::byte* data_;
  std::size_t size_;
};

/// Yields when the kernel has taken the whole buffer; concurrent ones on a socket don't mix their bytes. Not
/// cancel-safe: cancelled or failed, it may have sent a part.
class HEDDLE_EXPORT SendAllOperation final : public SocketOperation {
 public:
  SendAllOperation(Fd& socket, std::span<const std::byte> buffer)
      : SocketOperation(socket), data_(buffer.data()), size_(buffer.size()) {}

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
  void await_resume() const { check("send"); }
  /// How many bytes were sent: all.
  Result<std::size_t> take_result() const {
    if (result_ < 0) return failure("send");
    return size_;
  }
  AsResult<SendAllOperation> as_result() && noexcept { return AsResult(*this); }

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return Direction::WRITE; }
  static constexpr std::ptrdiff_t not_tried = -EINTR;  // nothing was sent, as when a signal comes
  bool start(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  bool settle(int fd, FdWatch* watch) noexcept;
  bool attempt(int fd, FdWatch* watch) noexcept;

  const std::byte* data_;
  std::size_t size_;
  std::size_t sent_;
};

/// Yields a connected socket. A connection that was dropped before it could be accepted is passed over. When
/// the process or the system is out of descriptors the waiting peers are refused one by one by means of
/// `spare`; when not even that is possible, accepting pauses for 50 ms. Cancel-safe: no connection is lost.
class HEDDLE_EXPORT AcceptOperation final : public SocketOperation, private Timer {
 public:
  AcceptOperation(Fd& listener, Fd& spare) : SocketOperation(listener), Timer(&end_pause), spare_(&spare) {}
  AcceptOperation(const AcceptOperation& other) noexcept
      : SocketOperation(other), Timer(&end_pause), spare_(other.spare_) {}
  AcceptOperation& operator=(const AcceptOperation&) = delete;

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    suspend_here(coroutine, frame_of(coroutine.promise()));
  }
  Fd await_resume() const {
    check("accept");
    return Fd(static_cast<int>(result_));
  }
  Result<Fd> take_result() const {
    if (result_ < 0) return failure("accept");
    return Fd(static_cast<int>(result_));
  }
  AsResult<AcceptOperation> as_result() && noexcept { return AsResult(*this); }

  /// A descriptor to be held in reserve; closed if there is none to be had.
  static Fd make_spare() noexcept;

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return Direction::READ; }
  void suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  bool attempt(int fd, FdWatch* watch) noexcept;
  void leaving(bool watch_is_going) noexcept override;
  int refuse_one(int fd) noexcept;
  void begin_pause() noexcept;
  static void end_pause(Timer& timer) noexcept;

  Fd* spare_;
  bool exhausted_ = false;
};

/// Connects a socket that isn't connected yet. Yields nothing. Cancelled, the socket is of no more use.
class HEDDLE_EXPORT ConnectOperation final : public SocketOperation {
 public:
  /// The address is read when the operation is awaited.
  ConnectOperation(Fd& socket, const Address& address) : SocketOperation(socket), address_(&address) {}

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    suspend_here(coroutine, frame_of(coroutine.promise()));
  }
  void await_resume() const { check("connect"); }

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  static constexpr bool owned() noexcept { return true; }
  static constexpr Direction direction() noexcept { return Direction::WRITE; }
  void suspend_here(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  bool attempt(int fd, FdWatch* watch) noexcept;

  const Address* address_;
  bool begun_ = false;
};

}  // namespace heddle
