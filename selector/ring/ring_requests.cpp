// RingSelector: the requests that files have in the kernel, prepared together and submitted with the next
// wait.
// SPDX-License-Identifier: MIT
#if defined(HEDDLE_HAVE_URING)

#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "ring_selector.hpp"

namespace heddle::detail {

void RingSelector::prepare_all() noexcept {
  RingFile* next = todo_.take_all();
  while (next != nullptr) {
    RingFile& file = *next;
    next = file.next_todo;
    file.todo = false;
    if (!prepare(file)) submit_later(file);  // the kernel is short of something
    free_if_done(file);
  }
}

bool RingSelector::prepare(RingFile& file) noexcept {
  for (const Request request : all_requests) {
    if (!file.to_cancel.has(request)) continue;
    if (file.requests.has(request) && !push_cancel(file, request)) return false;
    file.to_cancel.remove(request);
  }
  if (file.gone || file.frozen) return true;
  if (!file.to_send.empty() && !file.polls_write && !file.requests.has(Request::SEND) &&
      !push(file, Request::SEND))
    return false;
  if (file.polls_write && !file.requests.has(Request::POLL_WRITE) && !push(file, Request::POLL_WRITE))
    return false;
  if (!file.registered && !file.closing) return true;
  switch (file.use) {
    case Use::LEVEL:
      if (file.is_readable()) {
        notify(file, KernelEvent::readable);
        submit_later(file);  // as long as there is something
      }
      [[fallthrough]];
    case Use::EDGE:
    case Use::CONNECTING:
      return file.requests.has(Request::POLL) || push(file, Request::POLL);
    case Use::STREAM:
      if (file.ended) return true;
      if (!file.requests.has(Request::RECEIVE) && !push(file, Request::RECEIVE)) return false;
      return file.hung_up || file.requests.has(Request::HANGUP) || push(file, Request::HANGUP);
  }
  return true;
}

bool RingSelector::push(RingFile& file, Request request) noexcept {
  io_uring_sqe* const sqe = queue_.next();
  if (sqe == nullptr) return false;
  switch (request) {
    case Request::RECEIVE:
      io_uring_prep_recv_multishot(sqe, file.fd, nullptr, 0, 0);
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = ReceiveBuffers::group;
      sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
      break;
    case Request::SEND:
      io_uring_prep_send(sqe, file.fd, file.to_send.data(), file.to_send.next_size(),
                         MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
      // It is done when it is submitted, and completes only where not all could be sent: see settle_sends().
      sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
      file.sending = static_cast<std::uint32_t>(file.to_send.next_size());
      sends_.add(file);
      sends_matter_ = sends_matter_ || file.to_send.size() > file.sending || file.wants_room ||
                      file.shut_down || file.closing;
      break;
    case Request::POLL: {
      const short events = file.use == Use::LEVEL        ? file.poll_events
                           : file.use == Use::CONNECTING ? static_cast<short>(POLLOUT | POLLIN)
                           // Of others than TCP there is room anew whenever the peer has read something.
                           : file.polls_room_alone() ? static_cast<short>(POLLIN | POLLRDHUP)
                                                     : static_cast<short>(POLLIN | POLLOUT | POLLRDHUP);
      io_uring_prep_poll_add(sqe, file.fd, static_cast<unsigned short>(events));
      if (file.use == Use::EDGE || file.multishot) sqe->len = IORING_POLL_ADD_MULTI;
      break;
    }
    case Request::POLL_WRITE:
      io_uring_prep_poll_add(sqe, file.fd, POLLOUT);
      if (file.half_closed) sqe->len = IORING_POLL_ADD_MULTI;
      break;
    case Request::HANGUP:
      io_uring_prep_poll_add(sqe, file.fd, 0);  // io_uring adds POLLERR, POLLHUP and POLLRDHUP
      break;
  }
  io_uring_sqe_set_data64(sqe, reinterpret_cast<std::uintptr_t>(&file) | static_cast<unsigned>(request));
  file.requests.add(request);
  ++outstanding_;
  return true;
}

bool RingSelector::push_cancel(RingFile& file, Request request) noexcept {
  io_uring_sqe* const sqe = queue_.next();
  if (sqe == nullptr) return false;
  io_uring_prep_cancel64(sqe, reinterpret_cast<std::uintptr_t>(&file) | static_cast<unsigned>(request), 0);
  io_uring_sqe_set_data64(sqe, 0);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  return true;
}

void RingSelector::submit_now() noexcept {
  prepare_all();
  queue_.enter(Duration(0));
}

// Submits, waits and reads what has completed. Where more is to be done after a send, it doesn't wait.
int RingSelector::enter(Timeout timeout) noexcept {
  if (std::exchange(sends_matter_, false)) timeout = Duration(0);
  const unsigned share = timeout.only_polls() ? 1 : coalescing_.share();
  const int error = queue_.enter(timeout, share);
  coalescing_.waited(share, queue_.ready());
  harvest(true);
  return error;
}

// A send is done when it was submitted. Where it has failed, or was short, a completion has said so by now.
void RingSelector::settle_sends() noexcept {
  if (queue_.has_unsubmitted()) return;
  while (RingFile* const file = sends_.pop()) {
    if (file->requests.has(Request::SEND)) {
      file->requests.remove(Request::SEND);
      --outstanding_;
      send_completed(*file, static_cast<int>(file->sending));
      if (!file->gone && !file->to_send.empty()) submit_later(*file);
    }
    free_if_done(*file);
  }
}

}  // namespace heddle::detail

#endif
