// RingSelector: registrations, the wait, and its end. What is asked of the kernel: ring_requests.cpp; what
// completes: ring_completions.cpp; reads and writes: ring_transfers.cpp.
// SPDX-License-Identifier: MIT
#if defined(HEDDLE_HAVE_URING)

#include "ring_selector.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "../mechanisms/poll_events.hpp"
#include "ring_table.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t most_events = 64;  // of select()

bool is_connected_by_unix(int fd) noexcept {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  return ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 && peer.ss_family == AF_UNIX;
}

std::uint64_t inode_of(int fd) noexcept {
  struct stat status{};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

RingSelector::RingSelector(bool one_thread)
    : BaseSelector("io_uring_enter", "io_uring_enter"), queue_(one_thread) {
  receive_buffers_ = std::make_unique<ReceiveBuffers>(queue_);
  RingTable::enter_process();
}

RingSelector::~RingSelector() {
  BaseSelector::close();
  if (!is_in_its_process()) return;  // the table of the child still names what are its parent's files
  for (RingFile* const file : made_) {
    file->received.clear(receive_buffers_.get());
    file->to_send.clear(send_buffers_);
    delete file;
  }
  if (outstanding_ > 0) ReceiveBuffers::leave_to_kernel(*receive_buffers_.release());
}

// Freed ones are used again: registering allocates nothing once warm.
RingFile& RingSelector::make_file(int fd) {
  if (RingFile* const spare = spare_files_) {
    spare_files_ = spare->next_todo;
    return *new (spare) RingFile(*this, fd);
  }
  made_.push_back(nullptr);
  try {
    made_.back() = new RingFile(*this, fd);
  } catch (...) {
    made_.pop_back();
    throw;
  }
  return *made_.back();
}

// Registering.

// What this ring has of `fd`, unless another file has the number by now.
RingFile* RingSelector::known(int fd) noexcept {
  const auto index = static_cast<std::size_t>(fd);
  RingFile* file = index < files_.capacity() ? files_[index] : nullptr;
  if (file == nullptr) file = RingTable::find(fd);
  if (file == nullptr || (file->ring != this && file->ring != nullptr)) return nullptr;
  if (file->inode == inode_of(fd)) return file;
  RingTable::remove(fd);
  if (file->ring == this) {
    abandon(*file);
  } else {
    file->received.clear(nullptr);
    delete file;
  }
  return nullptr;
}

// How a file that is registered for edges is watched. Returns 0 or an errno.
int RingSelector::look_at(RingFile& file) noexcept {
  tcp_info info{};
  socklen_t size = sizeof info.tcpi_state;
  if (::getsockopt(file.fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0) {
    if (errno == EBADF) return EBADF;
    look_at_other_than_tcp(file);
    return 0;
  }
  // A listener is polled, too: a multishot accept would take connections that nobody here asks for, from
  // other loops and processes that share it, and beyond what a server has room for.
  const auto state = info.tcpi_state;
  file.use = state == TCP_SYN_SENT || state == TCP_SYN_RECV ? Use::CONNECTING
             : state == TCP_LISTEN || state == TCP_CLOSE    ? Use::EDGE
                                                            : Use::STREAM;
  file.is_client = file.use == Use::CONNECTING || RingTable::is_noted_client(file.fd);
  if (file.use != Use::EDGE && !enter_in_table(file)) file.use = Use::EDGE;
  return 0;
}

// False: another ring has it, or there is no memory.
bool RingSelector::enter_in_table(RingFile& file) noexcept {
  file.in_table = RingTable::find(file.fd) == nullptr && RingTable::set(file.fd, file);
  return file.in_table;
}

void RingSelector::look_at_other_than_tcp(RingFile& file) noexcept {
  file.use = Use::EDGE;
  int type = SOCK_DGRAM;
  socklen_t size = sizeof type;
  // Not of datagrams: what a poll says of their room needn't hold for the peer that one is sent to.
  if (::getsockopt(file.fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type == SOCK_DGRAM) {
    RingTable::remove(file.fd);  // of a socket that was closed behind its owner's back
    return;
  }
  if (type == SOCK_STREAM && is_connected_by_unix(file.fd)) {
    file.polled = enter_in_table(file);
    return;
  }
  const RingFile* const other = RingTable::find_watched(file.fd);
  if (other == nullptr || other->inode != file.inode) file.watched = RingTable::set_watched(file.fd, file);
}

int RingSelector::do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) {
  const auto index = static_cast<std::size_t>(key.fd);
  if (::fcntl(key.fd, F_GETFD) < 0) return errno;
  files_.reserve(index + 1);
  RingFile* file = known(key.fd);
  const bool fresh = file == nullptr;
  if (fresh) {
    file = &make_file(key.fd);
    if (trigger == Trigger::EDGE) {
      file->inode = inode_of(key.fd);
      if (const int error = look_at(*file); error != 0) {
        file->gone = true;
        free_if_done(*file);
        return error;
      }
    }
  }
  if (file->ring == nullptr) made_.push_back(file);
  file->ring = this;
  files_[index] = file;
  if (trigger == Trigger::LEVEL) {
    // What is registered by number is watched and read as anybody else's.
    if (!fresh) stop(*file);
    file->use = Use::LEVEL;
    file->poll_events = to_poll(key.events);
    file->multishot = false;
  } else if (!fresh && file->use == Use::LEVEL) {
    file->use = Use::EDGE;
  }
  begin(*file, generation);
  return 0;
}

void RingSelector::begin(RingFile& file, std::uint32_t generation) noexcept {
  file.generation = generation;
  file.registered = true;
  file.frozen = false;
  if (file.use == Use::EDGE && file.polls_room_alone()) file.polls_write = true;
  // An edge-triggered registration begins with a report of what there is.
  if (file.use == Use::STREAM)
    notify(file,
           file.received.empty() && !file.ended ? KernelEvent::writable
                                                : KernelEvent::readable | KernelEvent::writable,
           file.ended);
  else if (file.is_readable())
    notify(file, KernelEvent::readable);
  submit_later(file);
  if (nested_) submit_now();
}

int RingSelector::do_modify(const SelectorKey& key, EventMask, std::uint32_t generation, Trigger trigger) {
  RingFile* file = files_[static_cast<std::size_t>(key.fd)];
  if (file == nullptr) return EBADF;  // it was let go
  if (trigger == Trigger::EDGE) {
    // Both directions are watched, whatever is asked for. That it is the same file is what can have changed.
    if (::fcntl(key.fd, F_GETFD) == 0 && file->inode == inode_of(key.fd)) {
      begin(*file, generation);
      return 0;
    }
    do_unregister(key, generation);
    return EBADF;
  }
  if (::fcntl(key.fd, F_GETFD) < 0) {
    do_unregister(key, generation);
    return EBADF;
  }
  if (!file->requests.empty()) {  // the old request's completion mustn't be taken for the new one's
    if (file->in_table) {
      stop(*file);
    } else {
      abandon(*file);
      file = files_[static_cast<std::size_t>(key.fd)] = &make_file(key.fd);
    }
  }
  file->poll_events = to_poll(key.events);
  file->multishot = false;
  begin(*file, generation);
  return 0;
}

void RingSelector::do_unregister(const SelectorKey& key, std::uint32_t) noexcept {
  RingFile* const known = files_[static_cast<std::size_t>(key.fd)];
  if (known == nullptr) return;  // it was let go
  RingFile& file = *known;
  file.registered = false;
  if (file.in_table) {
    // It stays until it is closed or released; a poll of others' doings ends now.
    cancel_later(file, Request::POLL);
    if (file.use == Use::LEVEL || nested_) submit_now();
    return;
  }
  abandon(file);
  submit_now();  // a request in the kernel keeps the file open
}

// Only what the kernel still has of it is left.
void RingSelector::abandon(RingFile& file) noexcept {
  const auto index = static_cast<std::size_t>(file.fd);
  if (index < files_.capacity() && files_[index] == &file) files_[index] = nullptr;
  if (file.watched) RingTable::remove_watched(file.fd, file);
  file.received.clear(receive_buffers_.get());
  file.registered = false;
  file.gone = true;
  cancel_all(file);
  free_if_done(file);
}

void RingSelector::cancel_all(RingFile& file) noexcept {
  for (const Request request : all_requests) cancel_later(file, request);
}

void RingSelector::cancel_later(RingFile& file, Request request) noexcept {
  if (!file.requests.has(request)) return;
  file.to_cancel.add(request);
  submit_later(file);
}

void RingSelector::free_if_done(RingFile& file) noexcept {
  if (!file.gone || file.held || file.todo || file.pending || file.in_sends || !file.requests.empty()) return;
  file.to_send.clear(send_buffers_);
  file.next_todo = spare_files_;
  spare_files_ = &file;
}

// Waiting.

void RingSelector::flush() noexcept {
  if (!closed() && is_in_its_process() && !todo_.empty()) submit_now();
}

void RingSelector::set_nested(bool nested) noexcept {
  nested_ = nested;
  if (nested) flush();
}

int RingSelector::wait(Timeout timeout) noexcept {
  // A completion from before this call may be out of date where somebody else reads the descriptor: of a
  // level-triggered registration it only means that the request has to be submitted again.
  harvest(false);
  receive_buffers_->provide();
  prepare_all();
  if (!closing_.empty()) timeout = until_close_is_overdue(timeout);
  const int error = enter(pending_.empty() ? timeout : Timeout(Duration(0)));
  if (error == EBADR)
    completions_were_lost();
  else if (error != 0)
    return error;
  if (!closing_.empty()) end_overdue_closes();
  if (nested_) submit_now();
  return 0;
}

int RingSelector::do_wait_raw(Timeout timeout, int most, KernelEvents& events) {
  events_.reserve(static_cast<std::size_t>(most));
  if (const int error = wait(timeout); error != 0) return error;
  std::size_t count = 0;
  while (count < static_cast<std::size_t>(most)) {
    RingFile* const file = pending_.pop();
    if (file == nullptr) break;
    const std::uint32_t bits = std::exchange(file->events, std::uint8_t{0});
    const bool hangup = std::exchange(file->hangup, false);
    if (file->registered)
      events_[count++] = {
          hangup ? bits | POLLRDHUP : bits,
          static_cast<std::uint64_t>(file->generation) << 32 | static_cast<std::uint32_t>(file->fd)};
    free_if_done(*file);
  }
  events = KernelEvents(events_.data(), count);
  return 0;
}

int RingSelector::do_wait(Timeout timeout) {
  KernelEvents events;
  const int error = do_wait_raw(timeout, static_cast<int>(std::max(size(), most_events)), events);
  for (const KernelEvent& event : events) {
    const Ready ready = read(event, registrations()[event.fd()]);
    BaseSelector::report(event.fd(), event.generation(), ready.events, ready.hangup);
  }
  return error;
}

void RingSelector::do_read(const KernelEvent& event, Ready& ready) const noexcept {
  ready.events = EventMask(0);
  if ((event.events & KernelEvent::readable) != 0) ready.events |= EVENT_READ;
  if ((event.events & KernelEvent::writable) != 0) ready.events |= EVENT_WRITE;
  ready.hangup = (event.events & POLLRDHUP) != 0;
}

// The end.

void RingSelector::do_close() noexcept {
  if (is_in_its_process()) {
    wait_for_sends();
    for (std::size_t i = 0; i < files_.capacity(); ++i) {
      RingFile* const file = files_[i];
      if (file == nullptr) continue;
      if (!file->in_table)
        abandon(*file);
      else
        leave_behind(*file);
    }
    // The kernel takes a ring down in the background, and until then would use its memory and keep files
    // open.
    for (int rounds = 0; outstanding_ > 0 && rounds < 1000; ++rounds) {
      prepare_all();
      if (enter(std::chrono::milliseconds(10)) != 0) break;
    }
    harvest(true);
    while (RingFile* const file = pending_.pop()) free_if_done(*file);
    prepare_all();
    std::erase_if(made_, [this](const RingFile* file) { return file->ring != this; });
  }
  queue_.close();
}

// A socket that outlives the ring: what was received of it is kept for who reads it next.
void RingSelector::leave_behind(RingFile& file) noexcept {
  stop(file);
  files_[static_cast<std::size_t>(file.fd)] = nullptr;
  if (!file.received.keep(*receive_buffers_)) {
    file.ended = true;
    file.receive_error = ENOMEM;
  }
  if (!file.to_send.empty()) {
    file.to_send.clear(send_buffers_);
    file.send_error = ETIMEDOUT;
  }
  file.ring = nullptr;
  file.todo = file.pending = false;
  file.requests = file.to_cancel = Requests();  // also where the kernel refused this thread
}

}  // namespace heddle::detail

#endif
