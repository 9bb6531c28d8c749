// How a SocketOperationOf starts and advances, and what attempts share. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

#include <cerrno>

#include "socket_operation.hpp"

namespace heddle::detail {

// Each source instantiates these for its own operations, so that users don't compile them.

template <class Op, Direction way, class Base>
bool SocketOperationOf<Op, way, Base>::start(std::coroutine_handle<> coroutine, AsyncFrame* frame) {
  if (!DescriptorOperation::start(self(), coroutine, frame)) return false;
  self().after_attempt();
  return true;
}

template <class Op, Direction way, class Base>
bool SocketOperationOf<Op, way, Base>::advance() noexcept {
  if (DescriptorOperation::advance(self())) return true;
  self().after_attempt();
  return false;
}

template <class Op>
bool SocketOperation::done_now(Op& self) {
  if (!try_once(self)) return false;
  self.check(Op::name);
  return true;
}

inline bool would_block(std::ptrdiff_t result) noexcept {
  return result == -EAGAIN || result == -EWOULDBLOCK;
}

/// For ShortRead::MAY_LEAVE_MORE: whether bytes may follow those of a short recvmsg(2).
inline bool more_may_follow([[maybe_unused]] const msghdr& message) noexcept {
#if defined(__linux__)
  return (message.msg_flags & MSG_CTRUNC) != 0;
#else
  return true;
#endif
}

/// The System of the running loop.
inline System& kernel() noexcept { return *current.system; }

/// What `call()` returns when no signal interrupts it.
template <class Call>
auto uninterrupted(Call call) noexcept {
  auto result = call();
  while (result == -EINTR) result = call();
  return result;
}

}  // namespace heddle::detail
