// The awaitables that read into several buffers at once, or write from several.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <span>

#include "buffers.hpp"
#include "socket_operation.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// Fills the buffers in their order and yields how many bytes came, at most most_per_turn; 0: the peer has
/// ended its side (or there is no room in the buffers). Cancel-safe.
template <ShortRead short_read>
class HEDDLE_EXPORT BasicReceiveVectorOperation final
    : public SocketOperationOf<BasicReceiveVectorOperation<short_read>, Direction::READ> {
  using Base = SocketOperationOf<BasicReceiveVectorOperation, Direction::READ>;

 public:
  BasicReceiveVectorOperation(Fd& socket, std::span<const MutableBuffer> buffers)
      : Base(socket), buffers_(buffers.data()), count_(buffers.size()) {}

  bool await_ready();

  // For the base classes.

  static constexpr const char* name = "recvmsg";
  std::size_t value() const noexcept { return static_cast<std::size_t>(this->result_); }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  const MutableBuffer* buffers_;
  std::size_t count_;
};

/// Yields how many bytes the kernel took of the buffers, in their order: at least one if there is one, and at
/// most most_per_turn. Cancel-safe: cancelled, it sent nothing.
class HEDDLE_EXPORT SendVectorOperation final
    : public SocketOperationOf<SendVectorOperation, Direction::WRITE> {
 public:
  SendVectorOperation(Fd& socket, std::span<const ConstBuffer> buffers)
      : SocketOperationOf(socket), buffers_(buffers.data()), count_(buffers.size()) {}

  bool await_ready();
  /// StreamSocket::try_write_some().
  static std::size_t try_now(Fd& socket, std::span<const ConstBuffer> buffers);

  // For the base classes.

  static constexpr const char* name = "sendmsg";
  std::size_t value() const noexcept { return static_cast<std::size_t>(result_); }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  const ConstBuffer* buffers_;
  std::size_t count_;
};

/// Yields when the kernel has taken all buffers, most_per_turn at each turn of the task; concurrent ones on a
/// socket don't mix their bytes. As a Result: how many bytes those were. Not cancel-safe: cancelled or
/// failed, it may have sent a part.
class HEDDLE_EXPORT SendAllVectorOperation final
    : public SocketOperationOf<SendAllVectorOperation, Direction::WRITE, SteppedOperation> {
 public:
  SendAllVectorOperation(Fd& socket, std::span<const ConstBuffer> buffers)
      : SocketOperationOf(socket), buffers_(buffers.data()), count_(buffers.size()) {}

  bool await_ready();
  void await_resume() const { check(name); }

  // For the base classes.

  static constexpr const char* name = "sendmsg";
  std::size_t value() const noexcept { return sent_; }
  bool attempt(int fd, FdWatch* watch) noexcept;

 private:
  void skip(std::size_t size) noexcept;  // `size` bytes were sent

  const ConstBuffer* buffers_;
  std::size_t count_;
  std::size_t index_ = 0;  // the buffer that comes next
  std::size_t begun_ = 0;  // how much of it was sent
  std::size_t sent_ = 0;
};

}  // namespace heddle::detail

HEDDLE_HEADER_END
