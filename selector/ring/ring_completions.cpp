// RingSelector: what completes in the kernel, and what is reported of it.
// SPDX-License-Identifier: MIT
#if defined(HEDDLE_HAVE_URING)

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "../mechanisms/poll_events.hpp"
#include "ring.hpp"
#include "ring_selector.hpp"
#include "ring_table.hpp"

namespace heddle::detail {

void RingSelector::notify(RingFile& file, std::uint8_t events, bool hangup) noexcept {
  file.events = static_cast<std::uint8_t>(file.events | events);
  file.hangup = file.hangup || hangup;
  if (file.registered) pending_.add(file);
}

// `fresh`: what completes now was so in the wait that has just ended.
void RingSelector::harvest(bool fresh) noexcept {
  queue_.take([&](io_uring_cqe& completion) {
    if (alter_completion != nullptr) [[unlikely]]
      alter_completion(completion.user_data & 7, completion.res);
    completed(completion, fresh);
  });
  settle_sends();
}

void RingSelector::completed(const io_uring_cqe& completion, bool fresh) noexcept {
  constexpr std::uint64_t kind = 7;
  if (completion.user_data == 0) return;  // of a cancel: what it cancels has a completion of its own
  RingFile& file = *reinterpret_cast<RingFile*>(completion.user_data & ~kind);
  const auto request = static_cast<Request>(completion.user_data & kind);
  const bool ends = (completion.flags & IORING_CQE_F_MORE) == 0;
  coalescing_.completed(file.window);
  file.held = true;
  if (ends) {
    file.requests.remove(request);
    file.to_cancel.remove(request);
    --outstanding_;
  }
  switch (request) {
    case Request::RECEIVE:
      receive_completed(file, completion);
      break;
    case Request::SEND:
      send_completed(file, completion.res);
      break;
    case Request::POLL:
      poll_completed(file, completion.res, fresh);
      break;
    case Request::POLL_WRITE:
      room_completed(file, completion.res, ends);
      break;
    case Request::HANGUP:
      hangup_completed(file, completion.res);
      break;
  }
  file.held = false;
  if (ends && !file.gone) submit_later(file);
  free_if_done(file);
}

void RingSelector::receive_completed(RingFile& file, const io_uring_cqe& completion) noexcept {
  const int result = completion.res;
  const bool ends = (completion.flags & IORING_CQE_F_MORE) == 0;
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    const auto index = static_cast<std::uint16_t>(completion.flags >> IORING_CQE_BUFFER_SHIFT);
    receive_buffers_->taken();
    if (result > 0 && !file.gone)
      file.received.append(*receive_buffers_, index, static_cast<std::uint32_t>(result));
    else
      receive_buffers_->give_back(index);
  }
  if (file.gone) return;
  if (file.closing) {
    if (result > 0 || (result < 0 && result != -ECANCELED && result != -ENOBUFS)) reset_closing(file);
    return;
  }
  if (result > 0) {
    notify(file, KernelEvent::readable);
    if (file.received.is_full()) receive_directly(file);
  } else if (result == 0 ||
             (result != -ENOBUFS && result != -ECANCELED && result != -EAGAIN && result != -EINTR)) {
    file.ended = true;
    file.receive_error = static_cast<std::int16_t>(-result);
    file.no_more_writes = file.no_more_writes || result < 0;
    notify(file, result == 0 ? KernelEvent::readable : KernelEvent::readable | KernelEvent::writable, true);
  } else if (result == -ENOBUFS && (file.received.is_full() || !receive_buffers_->provide_more())) {
    file.direct = true;  // it has taken all there were, or those who don't read have them: it does without
  }
  if (!ends || !file.direct) return;
  file.direct = false;
  if (file.ended || file.use != Use::STREAM) return;
  file.use = Use::EDGE;
  file.small_reads = 0;
  notify(file, KernelEvent::readable);  // whoever found nothing while the receive was ending tries again
}

// Bytes are to be read straight from the kernel, once the receive has ended.
void RingSelector::receive_directly(RingFile& file) noexcept {
  if (file.use != Use::STREAM || file.direct) return;
  file.direct = true;
  file.large_reads = 0;
  cancel_later(file, Request::RECEIVE);
}

void RingSelector::send_completed(RingFile& file, int result) noexcept {
  if (file.gone) return;
  if (result >= 0) {
    file.to_send.sent(send_buffers_, static_cast<std::size_t>(result));
  } else if (result == -EAGAIN) {
    file.polls_write = true;
  } else if (result != -EINTR && result != -ECANCELED) {
    file.to_send.clear(send_buffers_);
    file.send_error = static_cast<std::int16_t>(-result);
    file.no_more_writes = true;
    notify(file, KernelEvent::writable);
  }
  sent(file);
}

// Some of the queue was sent, or all is lost.
void RingSelector::sent(RingFile& file) noexcept {
  if (std::exchange(file.wants_room, file.wants_room && file.to_send.room() == 0)) {
    if (!file.wants_room) notify(file, KernelEvent::writable);
  }
  if (!file.to_send.empty()) return;
  if (std::exchange(file.shut_down, false)) ::shutdown(file.fd, SHUT_WR);
  if (file.closing) finish_closing(file);
}

void RingSelector::poll_completed(RingFile& file, int result, bool fresh) noexcept {
  if (file.gone || result == -ECANCELED) {
    if (!file.gone && file.use == Use::EDGE && file.direct) {
      file.direct = false;
      file.use = Use::STREAM;
      file.polls_write = true;  // a write may have waited for the poll that has gone
    }
    return;
  }
  if (file.closing) {
    if (result < 0 || (result & (POLLERR | POLLHUP)) != 0 || ((result & POLLIN) != 0 && has_unread(file.fd)))
      reset_closing(file);
    return;
  }
  // An error such as EBADF is reported as ready, as poll(2) does with POLLNVAL.
  const int revents = result < 0 ? POLLNVAL : result;
  const bool failed = (revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
  std::uint8_t events = 0;
  if ((revents & (POLLIN | POLLPRI | POLLRDHUP)) != 0 || failed) events |= KernelEvent::readable;
  if ((revents & POLLOUT) != 0 || failed) events |= KernelEvent::writable;
  const bool hangup = failed || (revents & POLLRDHUP) != 0;
  file.no_more_writes = file.no_more_writes || failed;
  if (file.use == Use::LEVEL) {
    const bool asked = failed || (revents & file.poll_events) != 0;
    // io_uring adds POLLRDHUP to what is asked for: once the peer has shut down its side, a one-shot request
    // for POLLOUT would complete at once, again and again. A multishot one completes once for that, and again
    // when there is room to write.
    if (!asked) file.multishot = true;
    if (asked && fresh) notify(file, events, hangup);
    return;
  }
  if (file.use == Use::CONNECTING) {
    file.use = failed ? Use::EDGE : Use::STREAM;
    events = KernelEvent::readable | KernelEvent::writable;
  }
  notify(file, events, hangup);
}

// A poll for room to write.
void RingSelector::room_completed(RingFile& file, int result, bool ends) noexcept {
  if (file.gone || result == -ECANCELED) return;
  if (result >= 0 && (result & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) == 0) {
    file.half_closed =
        true;  // POLLRDHUP, which io_uring adds, as in poll_completed(): a multishot one goes on
    return;
  }
  file.polls_write = false;
  if (!ends) cancel_later(file, Request::POLL_WRITE);
  notify(file, KernelEvent::writable, result < 0 || (result & (POLLERR | POLLHUP)) != 0);
}

// Of a reset right behind bytes a multishot receive may say nothing: where both came before it was armed, it
// takes the bytes for all that it was woken for (at least up to Linux 6.18). A new one finds the reset.
void RingSelector::hangup_completed(RingFile& file, int result) noexcept {
  if (result < 0) return;
  file.hung_up = true;
  if (!file.gone && !file.ended) cancel_later(file, Request::RECEIVE);
}

// The kernel had no memory to keep completions that the ring had no room for. Of a connection, bytes may be
// among them.
void RingSelector::completions_were_lost() noexcept {
  for (std::size_t i = 0; i < files_.capacity(); ++i) {
    RingFile* const file = files_[i];
    if (file == nullptr || file->requests.empty()) continue;
    if (file->use == Use::STREAM || file->requests.has(Request::SEND)) {
      file->ended = true;
      file->receive_error = file->send_error = ENOBUFS;
      notify(*file, KernelEvent::readable | KernelEvent::writable, true);
    } else {
      cancel_all(*file);  // and asked for again
    }
  }
}

}  // namespace heddle::detail

#endif
