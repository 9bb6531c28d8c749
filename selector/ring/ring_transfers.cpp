// RingSelector: reading, writing and closing a stream that the ring takes care of.
// SPDX-License-Identifier: MIT
#if defined(HEDDLE_HAVE_URING)

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "ring_selector.hpp"
#include "ring_table.hpp"

namespace heddle::detail {

namespace {

// A read of so many bytes is worth a system call of its own, if others follow; a few such in a row, and the
// connection does without the ring's buffers. As many small ones, and it uses them again.
constexpr std::ptrdiff_t large_read = 8 << 10;
constexpr std::ptrdiff_t small_read = 2 << 10;
constexpr std::uint8_t reads_in_a_row = 8;
// How long a closed connection may take to send what was written before.
constexpr Duration close_limit = std::chrono::seconds(10);

}  // namespace

bool has_unread(int fd) noexcept {
  char byte;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void reset_when_closed(int fd) noexcept {
  const linger reset{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

// Reading.

std::ptrdiff_t RingSelector::receive(RingFile& file, std::byte* data, std::size_t size, bool peek) noexcept {
  if (!file.received.empty()) {
    const auto taken =
        static_cast<std::ptrdiff_t>(file.received.take(receive_buffers_.get(), data, size, peek));
    if (peek) return taken;
    if (file.use != Use::STREAM) return taken;
    if (taken < large_read)
      file.large_reads = 0;
    else if (++file.large_reads >= reads_in_a_row)
      receive_directly(file);
    return taken;
  }
  if (file.ended) {
    const int error = file.receive_error;
    if (!peek) file.receive_error = 0;
    return -error;
  }
  return file.requests.has(Request::RECEIVE) ? -EAGAIN : straight;
}

// After a failure the kernel is to be asked each time: the next write fails at once then.
void RingSelector::note_failure(RingFile& file, std::ptrdiff_t result) noexcept {
  if (result < 0 && result != -EAGAIN && result != -EINTR) file.no_more_writes = true;
}

void RingSelector::received_directly(RingFile& file, std::ptrdiff_t result) noexcept {
  note_failure(file, result);
  if (file.use != Use::EDGE || file.direct || file.polled) return;
  if (result <= 0 || result > small_read)
    file.small_reads = 0;
  else if (++file.small_reads >= reads_in_a_row) {
    file.small_reads = 0;
    if (file.requests.has(Request::POLL)) {
      file.direct = true;  // as soon as the poll has ended
      cancel_later(file, Request::POLL);
    } else {
      file.use = Use::STREAM;
      submit_later(file);
    }
  }
}

// Writing.

std::ptrdiff_t RingSelector::send(RingFile& file, const std::byte* data, std::size_t size) noexcept {
  if (file.send_error != 0) [[unlikely]]
    return -std::exchange(file.send_error, 0);
  if (file.shut_down) [[unlikely]]
    return -EPIPE;
  if (file.to_send.empty() && (size >= large_write || file.polls_write || file.no_more_writes || nested_ ||
                               file.use == Use::LEVEL || !file.registered))
    return straight;
  const std::size_t taken = file.to_send.append(send_buffers_, data, size);
  if (taken < size) file.wants_room = true;
  if (!file.requests.has(Request::SEND)) submit_later(file);
  if (taken == 0 && size > 0) {
    if (!file.to_send.empty()) return -EAGAIN;
    file.wants_room = false;  // there is no memory for a buffer: it goes without
    return straight;
  }
  return static_cast<std::ptrdiff_t>(taken);
}

void RingSelector::sent_directly(RingFile& file, std::ptrdiff_t result, std::size_t size) noexcept {
  note_failure(file, result);
  const bool all = result >= 0 && static_cast<std::size_t>(result) == size;
  if (!all && (result >= 0 || result == -EAGAIN) && file.polls_room_alone()) poll_for_room(file);
}

void RingSelector::poll_for_room(RingFile& file) noexcept {
  file.polls_write = true;
  submit_later(file);
  if (nested_) submit_now();
}

bool RingSelector::flush(RingFile& file) noexcept {
  while (!file.to_send.empty() && !file.requests.has(Request::SEND)) {
    const ssize_t result =
        ::send(file.fd, file.to_send.data(), file.to_send.next_size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0 && errno == EAGAIN) break;
    send_completed(file, result < 0 ? -errno : static_cast<int>(result));
  }
  return file.to_send.empty();
}

int RingSelector::shut_down(RingFile& file, int how) noexcept {
  file.no_more_writes = file.no_more_writes || how != SHUT_RD;
  if (how != SHUT_RD && !flush(file)) {
    file.shut_down = true;
    if (how == SHUT_WR) return 0;
    how = SHUT_RD;
  }
  return ::shutdown(file.fd, how) < 0 ? -errno : 0;
}

// Closing.

// Nothing more is received by the ring, and what was is in the file's queue.
void RingSelector::stop(RingFile& file) noexcept {
  file.registered = false;
  flush(file);
  file.frozen = true;
  cancel_all(file);
  for (int rounds = 0; !file.requests.empty() && rounds < 1000; ++rounds) {
    prepare_all();
    if (enter(Duration(0)) != 0) break;
  }
  if (file.use == Use::STREAM && !file.ended) file.use = Use::EDGE;
  file.direct = false;
}

std::size_t RingSelector::take_unread(RingFile& file, std::byte* data, std::size_t size) noexcept {
  const bool registered = file.registered;
  if (!file.requests.empty()) stop(file);
  file.frozen = false;
  if (registered) begin(file, file.generation);
  return file.received.take(receive_buffers_.get(), data, size, false);
}

bool RingSelector::let_go(RingFile& file) noexcept {
  const bool registered = file.registered;
  stop(file);
  if (!file.received.empty() || !file.to_send.empty()) {
    file.frozen = false;
    if (registered) begin(file, file.generation);
    return false;
  }
  RingTable::remove(file.fd);
  abandon(file);
  return true;
}

// Something is queued that the kernel doesn't take now, and that the user hasn't asked to drop.
bool RingSelector::has_to_be_sent(RingFile& file) noexcept {
  if (file.to_send.empty()) return false;
  linger value{};
  socklen_t size = sizeof value;
  ::getsockopt(file.fd, SOL_SOCKET, SO_LINGER, &value, &size);
  const bool resets = value.l_onoff != 0 && value.l_linger == 0;
  return !resets && !flush(file);
}

// As TCP does when a connection is closed before all was read (RFC 2525, 2.17): its peer gets a reset.
void RingSelector::drop_with_reset(RingFile& file) noexcept {
  file.to_send.clear(send_buffers_);
  reset_when_closed(file.fd);
}

// False: there is no memory for that.
bool RingSelector::close_later(RingFile& file) noexcept {
  try {
    closing_.push_back(&file);
  } catch (const std::bad_alloc&) {
    return false;
  }
  file.closing = true;
  file.close_deadline = now() + close_limit;
  file.use = Use::EDGE;
  cancel_later(file, Request::RECEIVE);
  submit_later(file);
  return true;
}

int RingSelector::close(RingFile& file) noexcept {
  RingTable::remove(file.fd);
  const auto index = static_cast<std::size_t>(file.fd);
  if (index < files_.capacity() && files_[index] == &file) files_[index] = nullptr;
  file.registered = false;
  if (!file.received.empty()) {
    drop_with_reset(file);
  } else if (has_to_be_sent(file)) {
    if (has_unread(file.fd))
      drop_with_reset(file);
    else if (close_later(file))
      return 0;
  }
  const int result = ::close(file.fd) < 0 ? -errno : 0;
  const bool has_address = file.is_client;
  abandon(file);
  // Its own address may be wanted at once, and a request in the kernel holds it.
  if (has_address || nested_) submit_now();
  return result;
}

// What comes for a connection that is closed is answered by a reset (RFC 1122, 4.2.2.13), and nothing more is
// sent.
void RingSelector::reset_closing(RingFile& file) noexcept {
  drop_with_reset(file);
  finish_closing(file);
}

void RingSelector::finish_closing(RingFile& file) noexcept {
  closing_.erase(std::remove(closing_.begin(), closing_.end(), &file), closing_.end());
  file.closing = false;
  ::close(file.fd);
  abandon(file);
}

Timeout RingSelector::until_close_is_overdue(Timeout timeout) const noexcept {
  TimePoint first = TimePoint::max();
  for (const RingFile* const file : closing_) first = std::min(first, file->close_deadline);
  const Duration left = std::max(first - now(), Duration(0));
  return timeout.forever() || left < timeout.duration() ? Timeout(left) : timeout;
}

void RingSelector::end_overdue_closes() noexcept {
  const TimePoint time = now();
  for (std::size_t i = 0; i < closing_.size();) {
    if (closing_[i]->close_deadline <= time)
      finish_closing(*closing_[i]);
    else
      ++i;
  }
}

// Before the ring ends: what was written is sent, as long as that may take.
void RingSelector::wait_for_sends() noexcept {
  const TimePoint deadline = now() + close_limit;
  for (;;) {
    bool any = !closing_.empty();
    for (std::size_t i = 0; i < files_.capacity() && !any; ++i)
      any = files_[i] != nullptr && files_[i]->sends();
    const TimePoint time = now();
    if (!any || time >= deadline) break;
    prepare_all();
    const Timeout timeout =
        closing_.empty() ? Timeout(deadline - time) : until_close_is_overdue(deadline - time);
    if (enter(timeout) != 0) break;
    end_overdue_closes();
  }
  while (!closing_.empty()) finish_closing(*closing_.back());
}

}  // namespace heddle::detail

#endif
