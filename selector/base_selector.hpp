// BaseSelector: a table of registrations and a wait. Everything public is here; backends only translate.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "buffer.hpp"
#include "capabilities.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "export.hpp"
#include "kernel_event.hpp"
#include "ready.hpp"
#include "selector_key.hpp"
#include "selector_map.hpp"
#include "timeout.hpp"

namespace heddle {

/// LEVEL reports readiness as long as it lasts. EDGE reports it when it begins or grows
/// (Capability::EDGE_TRIGGER).
enum class Trigger : std::uint8_t { LEVEL, EDGE };

/// Says which of the registered file objects are ready for what was asked. One thread at a time; selectors
/// are independent of each other. Every call but close(), closed() and the noexcept ones throws
/// SelectorClosed after close().
class HEDDLE_EXPORT BaseSelector {
 public:
  virtual ~BaseSelector();

  /// Watches `fileobj` for `events` and returns its key. `data` is handed back with each report.
  /// Throws ValueError (mask, descriptor, trigger), KeyError (registered already), std::system_error (the
  /// kernel refused). A failed call changes nothing.
  SelectorKey register_(FileObj fileobj, EventMask events, SelectorData data = {},
                        Trigger trigger = Trigger::LEVEL);
  /// Stops watching and returns the key that was there. Works after the descriptor was closed, by number or
  /// by object. Throws KeyError when it is not registered.
  SelectorKey unregister(FileObj fileobj);
  /// Changes events and data; the trigger stays. With equal events no system call is made.
  /// Throws as register_() does; a change that the kernel refuses drops the registration.
  SelectorKey modify(FileObj fileobj, EventMask events, SelectorData data = {});
  /// Waits until something is ready or `timeout` has passed, and reports all that is ready, one entry a
  /// descriptor. Retried on EINTR with the time that is left, unless the interrupt hook gives up; then it is
  /// empty. Throws std::system_error when the kernel refuses to wait.
  ReadyList select(Timeout timeout = {});

  // For an event loop: the same wait, whose answer is left as it is, to be read once instead of twice.

  /// Whether this selector can. (No Capability: who decorates a selector and hands on its capabilities would
  /// promise too much.)
  [[nodiscard]] virtual bool has_wait_raw() const noexcept { return false; }
  /// Waits as select() does, but asks no interrupt hook, and reports no more than `most`, which is one at
  /// least: those that are left come first the next time, unless purge() is called.
  KernelEvents wait_raw(Timeout timeout, int most);
  /// The table, by descriptor: what is registered under the number in a KernelEvent, or was. Good until the
  /// next register_().
  struct Registration;
  [[nodiscard]] const Registration* registrations() const noexcept;
  /// The entry of select() for an event of a registration that is current; no events if there is nothing to
  /// report.
  [[nodiscard]] Ready read(const KernelEvent& event, const Registration& registration) const noexcept;
  /// To be called after a KernelEvent that belongs to no current registration. Throws std::system_error.
  void purge();

  /// Throws KeyError when it is not registered.
  [[nodiscard]] SelectorKey get_key(FileObj fileobj) const;
  /// Null when it is not registered. The pointer is good until the next register_(), modify() or
  /// unregister().
  [[nodiscard]] const SelectorKey* find(int fd) const noexcept;
  /// The registrations, as a live view.
  [[nodiscard]] SelectorMap get_map() const;

  /// Forgets all registrations and gives the kernel object back; the files stay open. Idempotent.
  /// The last ReadyList stays valid until the selector is destroyed.
  void close() noexcept;
  [[nodiscard]] bool closed() const noexcept { return closed_; }

  /// "epoll", "poll", ...: what make_selector() knows it by.
  [[nodiscard]] virtual const char* name() const noexcept = 0;
  [[nodiscard]] virtual Capabilities capabilities() const noexcept = 0;
  /// The kernel object's descriptor, -1 where there is none.
  [[nodiscard]] virtual int descriptor() const noexcept { return -1; }

  /// `hook(argument)` is asked each time a signal interrupts the wait: true makes select() return, empty, at
  /// once. Null: never give up.
  void set_interrupt_hook(bool (*hook)(void*), void* argument) noexcept {
    hook_ = hook;
    hook_argument_ = argument;
  }
  /// The last select() was given up by the interrupt hook.
  [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }

 protected:
  // For those who write a selector. The base checks arguments, keeps the table, and knows about time and
  // signals; the hooks below make the system calls. Each destructor calls close(), so that do_close() is
  // still there.

  /// The calls that errors are reported as: "epoll_ctl", "epoll_wait". Both must live for ever.
  BaseSelector(const char* change_call, const char* wait_call) noexcept
      : change_call_(change_call), wait_call_(wait_call) {}
  /// The other one is closed afterwards.
  BaseSelector(BaseSelector&& other) noexcept;
  BaseSelector& operator=(BaseSelector&&) = delete;

  /// FdWatch key.fd. Returns 0 or an errno, or throws; then nothing is left behind. `generation` is given to
  /// report().
  virtual int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) = 0;
  /// `key` is the new one, `before` what was asked until now. Returns 0 or an errno, or throws; then the
  /// backend has dropped the registration, as the base will.
  virtual int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation,
                        Trigger trigger) = 0;
  /// Only the data changed. For decorators.
  virtual void do_modify_data(const SelectorKey& key);
  /// Stop watching, also when the descriptor is closed already.
  virtual void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept = 0;
  /// One system call that waits, and a report() for each descriptor that is ready. Returns 0 or an errno
  /// (EINTR is the base's business). It may wait less than asked, never longer.
  virtual int do_wait(Timeout timeout) = 0;
  /// For wait_raw(). Returns 0 or an errno.
  virtual int do_wait_raw(Timeout timeout, int most, KernelEvents& events);
  /// For read(): what it says, with no more than that in `ready`.
  virtual void do_read(const KernelEvent& event, Ready& ready) const noexcept;
  /// Called after a wait in which report() met what it did not know: get rid of its source, so that the next
  /// wait does not meet it again, and return 0 or an errno.
  virtual int do_purge();
  /// Give everything back.
  virtual void do_close() noexcept = 0;
  /// A call was refused before it reached a hook. For decorators.
  virtual void do_refused(const char* message) const noexcept;

  /// For do_wait(): `fd` is ready for `events`, which may be more than was asked for. What belongs to an
  /// earlier registration of the number, or to none, is dropped and do_purge() called.
  void report(int fd, std::uint32_t generation, EventMask events, bool hangup) noexcept;
  class Reports;
  /// Makes room in the table for `fd`, for a do_register() whose system call would not notice a number that
  /// is far off and not open. Throws std::system_error (EBADF) or bad_alloc.
  void reserve_slot(int fd);
  /// Of a registered descriptor.
  [[nodiscard]] std::uint32_t generation(int fd) const noexcept;
  [[nodiscard]] Trigger trigger(int fd) const noexcept;
  /// How many are registered.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The next registered descriptor above `fd` (start with -1), or -1.
  [[nodiscard]] int next(int fd) const noexcept;

 private:
  friend class SelectorMap;
  friend class SelectorMap::Iterator;

  using Slot = Registration;

  void check_open() const {
    if (closed_) [[unlikely]]
      refuse_closed();
  }
  [[noreturn]] void refuse_closed() const;
  [[nodiscard]] ReadyList ready() const noexcept { return {ready_.data(), ready_end_}; }
  void check_mask(const char* call, FileObj fileobj, EventMask events) const;
  [[nodiscard]] int lookup(const char* call, FileObj fileobj) const;
  [[nodiscard]] int search(FileObj fileobj) const noexcept;
  Slot& registered(const char* call, FileObj fileobj) const;
  void make_slot(int fd);
  void drop(Slot& slot) noexcept;
  ReadyList wait_again(Timeout timeout, std::int64_t started, int error);
  template <class Error>
  [[noreturn]] void refuse(const char* call, FileObj fileobj, const char* why) const;

  Buffer<Slot> slots_;  // by descriptor
  Buffer<Ready> ready_;
  std::size_t size_ = 0;
  Ready* ready_end_ = nullptr;
  bool stray_ = false;
  bool interrupted_ = false;
  bool closed_ = false;
  const char* change_call_;
  const char* wait_call_;
  bool (*hook_)(void*) = nullptr;
  void* hook_argument_ = nullptr;
};

/// A place in the table, by descriptor. The generation changes with each register_(), modify() and
/// unregister(): an event that was asked for before then is stale.
struct BaseSelector::Registration {
  SelectorKey key;  ///< not registered: no events
  std::uint32_t generation;
  Trigger trigger;
  std::byte padding[19];  // to a power of two, so that finding one takes no multiplication
};
static_assert(sizeof(BaseSelector::Registration) == 64);

inline const BaseSelector::Registration* BaseSelector::registrations() const noexcept {
  return slots_.data();
}

inline std::uint32_t BaseSelector::generation(int fd) const noexcept {
  return slots_[static_cast<std::size_t>(fd)].generation;
}

inline Trigger BaseSelector::trigger(int fd) const noexcept {
  return slots_[static_cast<std::size_t>(fd)].trigger;
}

inline const SelectorKey* BaseSelector::find(int fd) const noexcept {
  if (static_cast<std::size_t>(fd) >= slots_.capacity()) return nullptr;
  const SelectorKey& key = slots_[static_cast<std::size_t>(fd)].key;
  return key.events ? &key : nullptr;
}

inline void BaseSelector::reserve_slot(int fd) {
  if (static_cast<std::size_t>(fd) >= slots_.capacity()) [[unlikely]]
    make_slot(fd);
}

/// report() for many, and without looking at the bounds: for a do_wait() whose kernel only gives back what it
/// was given by do_register(), each registration once. What it counted is the selector's when it ends.
class BaseSelector::Reports {
 public:
  explicit Reports(BaseSelector& selector) noexcept
      : selector_(selector), slots_(selector.slots_.data()), end_(selector.ready_end_) {}
  Reports(Reports&&) = delete;
  ~Reports() {
    selector_.ready_end_ = end_;
    if (stray_) [[unlikely]]
      selector_.stray_ = true;
  }

  void add(int fd, std::uint32_t generation, EventMask events, bool hangup) noexcept {
    const Slot& slot = slots_[fd];
    if (slot.generation != generation) [[unlikely]] {
      stray_ = true;
      return;
    }
    const EventMask fired = slot.key.events & events;
    if (!fired) [[unlikely]] {
      stray_ = true;
      return;
    }
    end_->key = slot.key;
    end_->events = fired;
    end_->hangup = hangup;
    ++end_;
  }

 private:
  BaseSelector& selector_;
  const Slot* slots_;
  Ready* end_;
  bool stray_ = false;
};

inline void BaseSelector::report(int fd, std::uint32_t generation, EventMask events, bool hangup) noexcept {
  if (static_cast<std::size_t>(fd) < slots_.capacity() && ready_end_ != ready_.data() + ready_.capacity()) {
    Reports(*this).add(fd, generation, events, hangup);
  } else {
    stray_ = true;
  }
}

}  // namespace heddle
