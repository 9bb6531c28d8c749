// readable, writable, ready: suspending a task until a descriptor is ready.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include "../../selector/selector_key.hpp"
#include "fd_watch.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// Waits for one direction of a descriptor and leaves what to do then to the caller.
class HEDDLE_EXPORT ReadinessOperation final : public DescriptorOperation {
 public:
  /// A descriptor that somebody else owns: it is registered only while the operation waits.
  ReadinessOperation(int fd, Direction direction) noexcept
      : DescriptorOperation(own_, fd, direction, false), own_{fd, &FdWatch::none} {}
  /// A descriptor whose owner holds `slot`.
  ReadinessOperation(WatchSlot& slot, Direction direction) noexcept
      : DescriptorOperation(slot, slot.fd, direction, true) {}
  ReadinessOperation(const ReadinessOperation& other) noexcept
      : DescriptorOperation(other.owned() ? other.slot() : own_, other.fd(), other.direction(),
                            other.owned()),
        own_(other.own_) {}
  ReadinessOperation& operator=(const ReadinessOperation&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> coroutine) {
    AsyncFrame* const frame = frame_of(coroutine.promise());
    error_ = 0;
    return (owned() && wait_at_once(*this, coroutine, frame)) || start(coroutine, frame);
  }
  EventMask await_resume() const {
    check();
    return event_of(direction());
  }

  bool advance() noexcept;

 private:
  friend class DescriptorOperation;
  friend class ReadyOperation;

  static void step(Runnable& runnable);
  bool start(std::coroutine_handle<> coroutine, AsyncFrame* frame);
  void find_watch() noexcept;
  bool attempt(int fd, FdWatch* watch) noexcept;
  void fail(int error) noexcept override;
  bool takes() const noexcept override { return false; }
  /// Throws what the operation ended with, if not with readiness.
  void check() const {
    if (error_ != 0) [[unlikely]]
      raise();
  }
  [[noreturn]] void raise() const;

  WatchSlot own_;
  int error_ = 0;
};

/// Waits for the directions in a mask, whichever comes first.
class HEDDLE_EXPORT ReadyOperation final : public Operation {
 public:
  /// Throws ValueError for a mask that is not READ, WRITE or both.
  ReadyOperation(int fd, EventMask events);

  bool await_ready();
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    wait();
    suspend(*this, coroutine);
  }
  EventMask await_resume() const;

  bool advance() noexcept;
  Stop cancel() noexcept override;
  WaitInfo describe() const noexcept override;

 private:
  void wait();
  bool wants(const ReadinessOperation& side) const noexcept;
  bool collect() noexcept;   // what is done, into fired_
  void withdraw() noexcept;  // those that wait still

  EventMask wanted_;
  EventMask fired_{0};
  bool stopped_ = false;
  ReadinessOperation read_;
  ReadinessOperation write_;
};

}  // namespace detail

/// Waits until `fd` is ready for reading and yields EVENT_READ. Readiness is level: what is ready already is
/// reported at once. Any number of tasks may wait; an event resumes the first. The descriptor must not be
/// closed meanwhile, unless an Fd of heddle's owns it: then the wait ends with std::system_error(ECANCELED).
/// Throws ValueError (negative), std::system_error (EBADF: closed; EPERM: a regular file, on epoll).
/// Cancel-safe.
[[nodiscard]] inline detail::ReadinessOperation readable(FileObj file) noexcept {
  return detail::ReadinessOperation(file.fd(), detail::Direction::READ);
}
/// The same for writing.
[[nodiscard]] inline detail::ReadinessOperation writable(FileObj file) noexcept {
  return detail::ReadinessOperation(file.fd(), detail::Direction::WRITE);
}
/// The same for `events`: EVENT_READ, EVENT_WRITE or both; yields those that fired. Throws ValueError for
/// other masks.
[[nodiscard]] inline detail::ReadyOperation ready(FileObj file, EventMask events) {
  return detail::ReadyOperation(file.fd(), events);
}

}  // namespace heddle

HEDDLE_HEADER_END
