// BaseSelector: the table, the checks of arguments, and how a wait is repeated until it has a result.
// SPDX-License-Identifier: MIT
#include "base_selector.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "under_tsan.hpp"

namespace heddle {

using namespace detail;
namespace {

// From this descriptor on, one fcntl(2) checks that it is open before the table grows to hold it.
constexpr int FAR = 1 << 16;

// How often in one select() a stray event is purged before the mechanism is taken to be unable to, and how
// often a wait that was refused for want of resources is tried again.
constexpr int MOST_PURGES = 4;
constexpr int MOST_REFUSALS = 7;

// The kernel is short of something now: asked again in a while it may answer otherwise.
bool passes_by(int error) noexcept {
  return error == EAGAIN || error == EBUSY || error == ENOMEM || error == EMFILE || error == ENFILE;
}

// 1 ms, and twice as long each time: 127 ms after MOST_REFUSALS of them.
void pause(int times_before) noexcept {
  const timespec time{0, 1'000'000L << times_before};
  ::nanosleep(&time, nullptr);
}

}  // namespace

namespace detail {

void* grow_zeroed(void* old, std::size_t old_bytes, std::size_t new_bytes) {
  // calloc() takes large blocks from fresh pages, which are zero without being touched: a table up to a lone
  // high descriptor costs address space only.
  void* block = std::calloc(1, new_bytes);
  if (block == nullptr) throw std::bad_alloc();
  if (old != nullptr) std::memcpy(block, old, old_bytes);
  std::free(old);
  return block;
}

void free_zeroed(void* block) noexcept { std::free(block); }

}  // namespace detail

void Timeout::not_a_number() { throw ValueError("timeout is not a number"); }

BaseSelector::~BaseSelector() = default;

BaseSelector::BaseSelector(BaseSelector&& other) noexcept
    : slots_(std::move(other.slots_)),
      ready_(std::move(other.ready_)),
      size_(other.size_),
      ready_end_(std::exchange(other.ready_end_, nullptr)),
      interrupted_(other.interrupted_),
      closed_(other.closed_),
      process_(other.process_),
      change_call_(other.change_call_),
      wait_call_(other.wait_call_),
      hook_(other.hook_),
      hook_argument_(other.hook_argument_),
      system_(other.system_) {
  other.size_ = 0;
  other.closed_ = true;
}

SelectorKey BaseSelector::register_(FileObj fileobj, EventMask events, SelectorData data, Trigger trigger) {
  check_usable();
  check_mask("register", fileobj, events);
  const int fd = lookup("register", fileobj);
  if (find(fd) != nullptr) refuse<KeyError>("register", fileobj, "is already registered");
  if (trigger == Trigger::EDGE && !capabilities().has(Capability::EDGE_TRIGGER)) {
    refuse<ValueError>("register", fileobj, "this selector has no edge trigger");
  }
  const SelectorKey key{fileobj, fd, events, data};
  const auto index = static_cast<std::size_t>(fd);
  const std::uint32_t generation = index < slots_.capacity() ? slots_[index].generation + 1 : 1;
  const int error = do_register(key, generation, trigger);
  if (error != 0) throw_errno(error, change_call_, fd);
  try {
    reserve_slot(fd);
  } catch (...) {
    do_unregister(key, generation);
    throw;
  }
  Slot& slot = slots_[index];
  slot.key = key;
  slot.generation = generation;
  slot.trigger = trigger;
  ++size_;
  return key;
}

SelectorKey BaseSelector::unregister(FileObj fileobj) {
  check_open();
  Slot& slot = registered("unregister", fileobj);
  const SelectorKey key = slot.key;
  drop(slot);
  // A child of fork() shares the parent's set: what it took out of that, the parent would wait for in vain.
  if (process_.is_here()) [[likely]]
    do_unregister(key, slot.generation);
  return key;
}

SelectorKey BaseSelector::modify(FileObj fileobj, EventMask events, SelectorData data) {
  check_usable();
  check_mask("modify", fileobj, events);
  Slot& slot = registered("modify", fileobj);
  SelectorKey key = slot.key;
  key.data = data;
  if (events == key.events) {
    do_modify_data(key);
    slot.key = key;
    return key;
  }
  const EventMask before = key.events;
  key.events = events;
  int error = 0;
  try {
    error = do_modify(key, before, slot.generation + 1, slot.trigger);
  } catch (...) {
    drop(slot);
    throw;
  }
  if (error != 0) {
    drop(slot);
    throw_errno(error, change_call_, key.fd);
  }
  slot.key = key;
  ++slot.generation;
  return key;
}

// Most waits are no calls that ThreadSanitizer intercepts: without this one that a handler is to end would
// last for ever.
static void let_handlers_run() noexcept {
  if constexpr (under_tsan) ::usleep(0);
}

ReadyList BaseSelector::select(Timeout timeout) {
  check_usable();
  ready_.reserve(size_);
  ready_end_ = ready_.data();
  stray_ = false;
  interrupted_ = false;
  // The clock is read only for a timeout that has to be measured.
  const TimePoint started = timeout.forever() || timeout.only_polls() ? TimePoint() : now();
  const int error = do_wait(timeout);
  if (error == 0 && !stray_ && (ready_end_ != ready_.data() || timeout.only_polls())) [[likely]] {
    return ready();
  }
  return wait_again(timeout, started, error);
}

KernelEvents BaseSelector::wait_raw(Timeout timeout, int most) {
  check_usable();
  const TimePoint started = timeout.forever() || timeout.only_polls() ? TimePoint() : now();
  Timeout left = timeout;
  for (;;) {
    KernelEvents events;
    const int error = do_wait_raw(left, most, events);
    if (error == 0 && (!events.empty() || left.only_polls())) [[likely]]
      return events;
    if (error == EINTR)
      let_handlers_run();
    else if (error != 0)
      throw_errno(error, wait_call_, descriptor());
    if (left.forever() || left.only_polls()) continue;
    left = timeout.duration() - (now() - started);
    if (left.only_polls()) return {};
  }
}

int BaseSelector::do_wait_raw(Timeout, int, KernelEvents&) { return ENOSYS; }

void BaseSelector::do_read(const KernelEvent&, Ready&) const noexcept {}

Ready BaseSelector::read(const KernelEvent& event, const Registration& registration) const noexcept {
  Ready ready{registration.key, EventMask(0), false};
  do_read(event, ready);
  ready.events &= registration.key.events;
  return ready;
}

void BaseSelector::purge() {
  check_usable();
  const int error = do_purge();
  if (error == 0) return;
  if (!passes_by(error)) throw_errno(error, wait_call_, descriptor());
  pause(0);  // the event comes back at once, and is to be purged then
}

// The first wait has ended without a result: by a signal, earlier than its timeout, with a stray event, or an
// error.
ReadyList BaseSelector::wait_again(Timeout timeout, TimePoint started, int error) {
  Timeout left = timeout;
  int purges = 0;
  int refusals = 0;
  for (;;) {
    bool must_repeat = true;  // though no time is left, because what is ready was not reported
    if (stray_) {
      error = do_purge();
      const bool failed = error != 0 && !passes_by(error);
      if (failed && ready().empty()) throw_errno(error, wait_call_, descriptor());
      // The wait is repeated, and reports again what is ready. Where the event comes back it can't be: what
      // was found beside it is all there is, and waiting for more must not take all of the processor.
      if (error != 0 || ++purges > MOST_PURGES) {
        if (!ready().empty() || left.only_polls()) break;
        pause(0);
        must_repeat = false;
      }
      ready_end_ = ready_.data();
    } else if (error == EINTR) {
      ready_end_ = ready_.data();
      let_handlers_run();
      if (hook_ != nullptr && hook_(hook_argument_)) {
        interrupted_ = true;
        break;
      }
    } else if (error != 0) {
      if (!passes_by(error) || refusals == MOST_REFUSALS) throw_errno(error, wait_call_, descriptor());
      ready_end_ = ready_.data();
      pause(refusals++);
    } else if (!ready().empty() || left.only_polls()) {
      break;
    } else {
      must_repeat = false;
    }
    if (!left.forever() && !left.only_polls()) {
      const Duration rest = timeout.duration() - (now() - started);
      if (!must_repeat && rest <= Duration::zero()) break;
      left = rest;
    }
    stray_ = false;
    error = do_wait(left);
  }
  return ready();
}

SelectorKey BaseSelector::get_key(FileObj fileobj) const {
  check_open();
  return registered("get_key", fileobj).key;
}

SelectorMap BaseSelector::get_map() const {
  check_open();
  return SelectorMap(this);
}

void BaseSelector::close() noexcept {
  if (closed_) return;
  closed_ = true;
  size_ = 0;
  slots_.clear();
  do_close();
}

void BaseSelector::do_modify_data(const SelectorKey&) {}
int BaseSelector::do_purge() { return 0; }
void BaseSelector::do_refused(const char*) const noexcept {}

int BaseSelector::next(int fd) const noexcept {
  for (auto i = static_cast<std::size_t>(fd + 1); i < slots_.capacity(); ++i) {
    if (slots_[i].key.events) return static_cast<int>(i);
  }
  return -1;
}

void BaseSelector::refuse_closed() const {
  throw SelectorClosed(std::string(name()) + " selector is closed");
}

void BaseSelector::refuse_forked() const {
  const std::string message =
      "the " + std::string(name()) + " selector was made before fork(): its child has to make one of its own";
  do_refused(message.c_str());
  throw std::logic_error(message);
}

void BaseSelector::check_mask(const char* call, FileObj fileobj, EventMask events) const {
  if (events.valid()) [[likely]]
    return;
  refuse<ValueError>(call, fileobj, ("invalid events " + to_string(events)).c_str());
}

// As in Python: the number if there is one, else the object is searched for by identity, else ValueError.
int BaseSelector::lookup(const char* call, FileObj fileobj) const {
  if (fileobj.fd() >= 0) [[likely]]
    return fileobj.fd();
  const int fd = search(fileobj);
  if (fd < 0) refuse<ValueError>(call, fileobj, "invalid file descriptor");
  return fd;
}

int BaseSelector::search(FileObj fileobj) const noexcept {
  if (fileobj.fd() >= 0) return fileobj.fd();
  if (fileobj.address() == nullptr) return -1;
  for (int fd = next(-1); fd >= 0; fd = next(fd)) {
    if (slots_[static_cast<std::size_t>(fd)].key.fileobj.address() == fileobj.address()) return fd;
  }
  return -1;
}

BaseSelector::Slot& BaseSelector::registered(const char* call, FileObj fileobj) const {
  const int fd = lookup(call, fileobj);
  if (find(fd) == nullptr) refuse<KeyError>(call, fileobj, "is not registered");
  return slots_[static_cast<std::size_t>(fd)];
}

void BaseSelector::make_slot(int fd) {
  if (fd >= FAR && ::fcntl(fd, F_GETFD) < 0) throw_errno(errno, change_call_, fd);
  slots_.reserve(static_cast<std::size_t>(fd) + 1);
}

void BaseSelector::drop(Slot& slot) noexcept {
  slot.key.events = EventMask();
  ++slot.generation;  // an event that still comes is nobody's
  --size_;
}

template <class Error>
void BaseSelector::refuse(const char* call, FileObj fileobj, const char* why) const {
  const std::string message = std::string(call) + " on fd " + std::to_string(fileobj.fd()) + ": " + why;
  do_refused(message.c_str());
  throw Error(message);
}

}  // namespace heddle
