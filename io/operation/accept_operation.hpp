// AcceptOperation, Accept<Stream>: waiting for a connection, also when descriptors run out.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "socket_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// A descriptor held in reserve, to be closed when the process runs out of them. The Fd keeps its address
/// when the SpareFd is moved.
class HEDDLE_EXPORT SpareFd {
 public:
  SpareFd() noexcept = default;
  SpareFd(SpareFd&& other) noexcept : fd_(std::exchange(other.fd_, nullptr)) {}
  SpareFd& operator=(SpareFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~SpareFd();

  /// Opens one; get() is a closed Fd when that fails.
  static SpareFd make();

  /// nullptr for a default-constructed one.
  Fd* get() const noexcept { return fd_; }

 private:
  Fd* fd_ = nullptr;
};

/// Yields a connected socket. A connection that was dropped before it could be accepted is skipped. When the
/// process or the system is out of descriptors, `spare` is used to refuse the waiting peers one by one; when
/// even that fails, accepting pauses for 50 ms. Cancel-safe: no connection is lost.
class HEDDLE_EXPORT AcceptOperation final
    : public SocketOperationOf<AcceptOperation, Direction::READ, PausingOperation> {
 public:
  AcceptOperation(Fd& listener, const SpareFd& spare) : SocketOperationOf(listener), spare_(spare.get()) {}

  // For the base classes.

  static constexpr const char* name = "accept";
  Fd value() const noexcept { return Fd(static_cast<int>(result_)); }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  int refuse_one(int fd) noexcept;

  Fd* spare_;
  bool exhausted_ = false;
};

/// Yields a Stream made of what an AcceptOperation yields.
template <class Stream>
class [[nodiscard]] Accept {
 public:
  using Native = void;

  explicit Accept(const AcceptOperation& operation) noexcept : operation_(operation) {}

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    return operation_.await_suspend(coroutine);
  }
  Stream await_resume() { return Stream(operation_.await_resume()); }
  Result<Stream> take_result() {
    Result<Fd> fd = operation_.take_result();
    if (!fd) return fd.failure();
    return Stream(std::move(*fd));
  }
  AsResult<Accept> as_result() && noexcept { return AsResult<Accept>(*this); }
  int fileno() const noexcept { return operation_.fileno(); }

 private:
  AcceptOperation operation_;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
