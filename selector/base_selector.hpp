// BaseSelector: the contract of all selectors, the table of registrations, and waiting with a timeout.
// SPDX-License-Identifier: MIT
#pragma once

#include "export.hpp"  // first

#include <cstddef>
#include <cstdint>

#include "buffer.hpp"
#include "capabilities.hpp"
#include "errors.hpp"
#include "events.hpp"
#include "kernel_event.hpp"
#include "process_mark.hpp"
#include "ready.hpp"
#include "selector_key.hpp"
#include "selector_map.hpp"
#include "system.hpp"
#include "timeout.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// LEVEL reports readiness as long as it lasts. EDGE reports it when it begins or grows
/// (Capability::EDGE_TRIGGER).
enum class Trigger : std::uint8_t { LEVEL, EDGE };

/// Says which of the registered file objects are ready for what was asked. One thread at a time; selectors
/// are independent of each other. Every call but close(), closed() and the noexcept ones throws
/// SelectorClosed after close().
///
/// In the child of a fork() it is the parent's: register_(), modify(), select(), wait_raw() and purge() throw
/// std::logic_error there, on every mechanism. unregister() only forgets the registration and close() only
/// closes the child's copy of the kernel object, so that nothing is taken from the parent; what reads the
/// table works.
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

  // For an event loop, which reads each event once and needs no list of them: the same wait, whose events are
  // left as the kernel wrote them.

  /// Whether wait_raw() works. Not a Capability, because a decorator has the capabilities of the selector
  /// inside, but no raw wait.
  [[nodiscard]] virtual bool has_wait_raw() const noexcept { return false; }
  /// Waits as select() does, but the interrupt hook is not asked, and no more than `most` events (at least
  /// one) are returned: the next call returns the others first, unless purge() is called before.
  KernelEvents wait_raw(Timeout timeout, int most);
  /// The table, indexed by descriptor. The registration of a KernelEvent is registrations()[event.fd()], and
  /// current if the generations are equal. Valid until the next register_().
  struct Registration;
  [[nodiscard]] const Registration* registrations() const noexcept;
  /// What select() would report for an event of a current registration; without events if that is nothing.
  [[nodiscard]] Ready read(const KernelEvent& event, const Registration& registration) const noexcept;
  /// To be called when wait_raw() has returned an event that belongs to no current registration, or it would
  /// be returned again and again. It may be so for a while, and this takes 1 ms then, where there is no
  /// descriptor or memory for it. Throws std::system_error.
  void purge();

  /// Throws KeyError when it is not registered.
  [[nodiscard]] SelectorKey get_key(FileObj fileobj) const;
  /// Null when it is not registered. The pointer is valid until the next register_(), modify() or
  /// unregister().
  [[nodiscard]] const SelectorKey* find(int fd) const noexcept;
  /// The registrations, as a live view.
  [[nodiscard]] SelectorMap get_map() const;

  /// Forgets all registrations and closes the kernel object; the files stay open. Idempotent.
  /// The last ReadyList stays valid until the selector is destroyed.
  void close() noexcept;
  [[nodiscard]] bool closed() const noexcept { return closed_; }

  /// "epoll", "poll", ...: what make_selector() knows it by.
  [[nodiscard]] virtual const char* name() const noexcept = 0;
  [[nodiscard]] virtual Capabilities capabilities() const noexcept = 0;
  /// The kernel object's descriptor, -1 where there is none.
  [[nodiscard]] virtual int descriptor() const noexcept { return -1; }
  /// Whether another selector, or poll(2), watches descriptor() from now on. Then what is registered is
  /// watched between two select() as well, so that the descriptor shows it; io_uring pays for that with a
  /// system call a wait and one a change. At first nobody does.
  virtual void set_nested(bool) noexcept {}

  /// Gives the kernel what was to travel with the next wait, which may be far off: the loop stops.
  virtual void flush() noexcept {}
  /// How often io_uring_enter(2) was called; 0 of a selector on other calls.
  [[nodiscard]] virtual std::uint64_t enters() const noexcept { return 0; }

  /// `hook(argument)` is asked each time a signal interrupts the wait: true makes select() return, empty, at
  /// once. Null: never give up.
  void set_interrupt_hook(bool (*hook)(void*), void* argument) noexcept {
    hook_ = hook;
    hook_argument_ = argument;
  }
  /// The last select() was ended by the interrupt hook.
  [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }

  /// Timeouts are measured with the clock of `system`, which must outlive this, from the next wait on; with
  /// the kernel's until then. For a selector that waits in simulated time: its wait is over when that clock
  /// says so. A decorator passes it on.
  virtual void set_system(System& system) noexcept { system_ = &system; }

 protected:
  // For those who write a selector. This class checks arguments, keeps the table, measures timeouts and
  // retries after signals; the virtual functions below make the system calls. The destructor of each final
  // class calls close(), because by the time of this class's destructor do_close() is gone.

  /// The names of the system calls for the messages of errors: "epoll_ctl", "epoll_wait". Both must be string
  /// literals, or live as long.
  BaseSelector(const char* change_call, const char* wait_call) noexcept
      : change_call_(change_call), wait_call_(wait_call) {}
  /// The other one is closed afterwards.
  BaseSelector(BaseSelector&& other) noexcept;
  BaseSelector& operator=(BaseSelector&&) = delete;

  /// Starts to watch key.fd for key.events. Returns 0 or an errno, or throws; then the kernel watches
  /// nothing. `generation` is what report() wants for the events of this registration.
  virtual int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) = 0;
  /// `key` is the new one, `before` the events asked for until now. Returns 0 or an errno, or throws; then
  /// the kernel must not watch the descriptor any more, because the registration is dropped.
  virtual int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation,
                        Trigger trigger) = 0;
  /// Only the data changed. For decorators.
  virtual void do_modify_data(const SelectorKey& key);
  /// Stops watching, also when the descriptor is closed already.
  virtual void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept = 0;
  /// One system call that waits, and a report() for each descriptor that is ready. Returns 0 or an errno;
  /// after EINTR it is called again, and some times after EAGAIN, EBUSY and ENOMEM. It must not wait longer
  /// than `timeout`; if it returns earlier without a report, it is called again with the time that is left.
  virtual int do_wait(Timeout timeout) = 0;
  /// For wait_raw(). Returns 0 or an errno.
  virtual int do_wait_raw(Timeout timeout, int most, KernelEvents& events);
  /// For read(): translates `event` into the events and the hangup of `ready`. What wasn't asked for is
  /// masked out afterwards.
  virtual void do_read(const KernelEvent& event, Ready& ready) const noexcept;
  /// Called after a wait that returned a stray event, one that belongs to no current registration. Makes the
  /// kernel forget its source, so that the next wait doesn't return it again. Returns 0 or an errno; after
  /// EMFILE, ENFILE and ENOMEM it is called again in a while.
  virtual int do_purge();
  /// Closes what the kernel keeps for this selector.
  virtual void do_close() noexcept = 0;
  /// A call was refused before it reached one of these functions. For decorators.
  virtual void do_refused(const char* message) const noexcept;

  /// For do_wait(): `fd` is ready for `events`, which may be more than was asked for. An event of an earlier
  /// registration of that number, or of none, is a stray one: it is dropped, and do_purge() is called.
  void report(int fd, std::uint32_t generation, EventMask events, bool hangup) noexcept;
  class Reports;
  /// Makes room in the table for `fd`, which is checked to be open if it is so high that the table would grow
  /// a lot. For a do_register() whose system call doesn't check that, to be called first. Throws
  /// std::system_error (EBADF) or bad_alloc.
  void reserve_slot(int fd);
  /// Of a registered descriptor.
  [[nodiscard]] std::uint32_t generation(int fd) const noexcept;
  [[nodiscard]] Trigger trigger(int fd) const noexcept;
  /// This is not the child of a fork() that came after the selector was made. There only do_close() is
  /// called.
  [[nodiscard]] bool is_in_its_process() const noexcept { return process_.is_here(); }
  /// How many are registered.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The next registered descriptor above `fd` (start with -1), or -1.
  [[nodiscard]] int next(int fd) const noexcept;
  /// The time by the clock that timeouts are measured with.
  [[nodiscard]] TimePoint now() const noexcept { return system_->now(); }

 private:
  friend class SelectorMap;
  friend class SelectorMap::Iterator;

  using Slot = Registration;

  void check_open() const {
    if (closed_) [[unlikely]]
      refuse_closed();
  }
  void check_usable() const {
    check_open();
    if (!process_.is_here()) [[unlikely]]
      refuse_forked();
  }
  [[noreturn]] void refuse_closed() const;
  [[noreturn]] void refuse_forked() const;
  [[nodiscard]] ReadyList ready() const noexcept { return {ready_.data(), ready_end_}; }
  void check_mask(const char* call, FileObj fileobj, EventMask events) const;
  [[nodiscard]] int lookup(const char* call, FileObj fileobj) const;
  [[nodiscard]] int search(FileObj fileobj) const noexcept;
  Slot& registered(const char* call, FileObj fileobj) const;
  void make_slot(int fd);
  void drop(Slot& slot) noexcept;
  ReadyList wait_again(Timeout timeout, TimePoint started, int error);
  template <class Error>
  [[noreturn]] void refuse(const char* call, FileObj fileobj, const char* why) const;

  detail::Buffer<Slot> slots_;  // by descriptor
  detail::Buffer<Ready> ready_;
  std::size_t size_ = 0;
  Ready* ready_end_ = nullptr;
  bool stray_ = false;
  bool interrupted_ = false;
  bool closed_ = false;
  detail::ProcessMark process_;
  const char* change_call_;
  const char* wait_call_;
  bool (*hook_)(void*) = nullptr;
  void* hook_argument_ = nullptr;
  System* system_ = &kernel_system();
};

/// An entry of the table. The generation changes with each register_(), modify() and unregister(): an event
/// that carries another one was asked for before that, and is stale.
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

/// report() for many events, without bounds checks: for a do_wait() whose system call returns only what
/// do_register() has put in, each registration at most once. The selector gets the result when this is
/// destroyed.
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
    if (!fired) [[unlikely]]
      return;  // it is this registration's, and tells nothing that was asked for
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

HEDDLE_HEADER_END
