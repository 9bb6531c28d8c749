// Fd: owns a descriptor, and what its event loop knows of it.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <span>
#include <utility>

#include "../../runtime/loop/fd_watch.hpp"
#include "../../runtime/loop/ready.hpp"
#include "../../selector/system.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The sole owner of a descriptor, which must be non-blocking. It joins the event loop on which it is first
/// waited for and stays with it: from then on it is used, moved and closed on that loop's thread. It may
/// outlive the loop, and join another one then.
///
/// Nobody else may close it. If somebody does, and another Fd of the loop gets the number and waits, this one
/// has lost it: whatever waits for it, and all that it is asked to wait for later, fails with EBADF, and it
/// closes nothing.
class HEDDLE_EXPORT Fd {
 public:
  Fd() noexcept = default;
  /// Takes ownership of `fd`, which is closed by the running loop's System, or the kernel's when no loop
  /// runs.
  explicit Fd(int fd) noexcept;
  Fd(int fd, System& system) noexcept : slot_{fd, &detail::FdWatch::none}, system_(&system) {}
  Fd(Fd&& other) noexcept : slot_(std::exchange(other.slot_, detail::WatchSlot())), system_(other.system_) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      close();
      slot_ = std::exchange(other.slot_, detail::WatchSlot());
      system_ = other.system_;
    }
    return *this;
  }
  ~Fd() {
    if (slot_.fd >= 0) close();
  }

  /// -1 when there is none.
  int fileno() const noexcept { return slot_.fd; }
  bool is_open() const noexcept { return slot_.fd >= 0; }

  /// Every operation that waits for the descriptor ends with ECANCELED and never uses the number again; then
  /// the descriptor is unregistered and closed. It never waits for a peer: see Socket::set_linger(). No
  /// effect when it is closed already.
  void close() noexcept;
  /// The same without closing: the caller owns the descriptor now. -1 when it was lost. Throws
  /// std::logic_error, and nothing has changed, where the loop's System has received bytes that nobody has
  /// read yet, or hasn't sent all: on a loop on io_uring, see take_unread().
  int release();
  /// Takes what a loop on io_uring has received for this descriptor in the background, so that release() can
  /// follow (as soon as it yields 0); from now on the kernel keeps what comes. How many bytes; 0 when there
  /// are none.
  std::size_t take_unread(std::span<std::byte> buffer);

  /// As heddle::readable() and writable(), and the registration stays, so waiting again costs no system call.
  [[nodiscard]] detail::ReadinessOperation readable() {
    return detail::ReadinessOperation(checked_slot("readable"), detail::Direction::READ);
  }
  [[nodiscard]] detail::ReadinessOperation writable() {
    return detail::ReadinessOperation(checked_slot("writable"), detail::Direction::WRITE);
  }

  // For operations.

  detail::WatchSlot& slot() noexcept { return slot_; }
  /// Throws std::system_error (EBADF) when the descriptor is closed.
  detail::WatchSlot& checked_slot(const char* operation) {
    if (slot_.fd < 0) [[unlikely]]
      throw_closed(operation);
    return slot_;
  }
  System& system() const noexcept { return *system_; }

 private:
  [[noreturn]] static void throw_closed(const char* operation);
  int leave() noexcept;

  detail::WatchSlot slot_;
  System* system_ = nullptr;
};

/// The System of the running loop, the kernel when no loop runs.
HEDDLE_EXPORT System& current_system() noexcept;

}  // namespace heddle

HEDDLE_HEADER_END
