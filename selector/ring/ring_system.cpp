// RingSystem: each call finds out whether a ring takes care of the socket. ring_is_complete(): whether one
// can.
// SPDX-License-Identifier: MIT
#include "ring_system.hpp"

#include "ring.hpp"

#if defined(HEDDLE_HAVE_URING)

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <utility>

#include "../errors.hpp"
#include "../immortal.hpp"
#include "ring_selector.hpp"
#include "ring_table.hpp"

namespace heddle::detail {

namespace {

// The flags of a receive that are all the same to the ring.
constexpr int plain_flags = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC;

// Of a socket that is only polled: the ring has to know where there was no room.
void had_no_room(int fd) noexcept {
  if (RingFile* const file = RingTable::find_watched(fd)) file->ring->poll_for_room(*file);
}

// The result of a write to what may be such a socket.
std::ptrdiff_t written(int fd, std::ptrdiff_t result, std::size_t size) noexcept {
  if (result < 0 ? result == -EAGAIN : static_cast<std::size_t>(result) < size) had_no_room(fd);
  return result;
}

std::size_t length_of(const msghdr& message) noexcept {
  std::size_t length = 0;
  for (std::size_t i = 0; i < message.msg_iovlen; ++i) length += message.msg_iov[i].iov_len;
  return length;
}

}  // namespace

// Reading.

std::ptrdiff_t RingSystem::recv(int fd, void* data, std::size_t size, int flags) noexcept {
  RingFile* const file = RingTable::find(fd);
  return file == nullptr ? KernelSystem::recv(fd, data, size, flags) : receive(*file, data, size, flags);
}

std::ptrdiff_t RingSystem::receive(RingFile& file, void* data, std::size_t size, int flags) noexcept {
  if (size == 0 || (flags & ~(plain_flags | MSG_PEEK)) != 0)
    return KernelSystem::recv(file.fd, data, size, flags);
  const bool peek = (flags & MSG_PEEK) != 0;
  auto* const bytes = static_cast<std::byte*>(data);
  std::ptrdiff_t taken = 0;
  if (file.ring != nullptr) {
    taken = file.ring->receive(file, bytes, size, peek);
    if (taken != RingSelector::straight) {
      if (taken <= 0 || peek || static_cast<std::size_t>(taken) == size ||
          file.requests.has(Request::RECEIVE) || file.ended)
        return taken;
    } else {
      taken = 0;
    }
  } else {
    taken = static_cast<std::ptrdiff_t>(file.received.take(nullptr, bytes, size, peek));
    if (taken > 0 && (peek || static_cast<std::size_t>(taken) == size)) return taken;
    if (taken == 0 && file.ended) return -std::exchange(file.receive_error, 0);
  }
  // A short read has to mean that there is no more, so what the kernel has follows at once.
  const std::ptrdiff_t more =
      KernelSystem::recv(file.fd, bytes + taken, size - static_cast<std::size_t>(taken), flags);
  if (file.ring != nullptr) file.ring->received_directly(file, more);
  if (more > 0) return taken + more;
  return taken > 0 ? taken : more;
}

std::ptrdiff_t RingSystem::read(int fd, void* data, std::size_t size) noexcept {
  RingFile* const file = RingTable::find(fd);
  return file == nullptr ? KernelSystem::read(fd, data, size) : receive(*file, data, size, 0);
}

std::ptrdiff_t RingSystem::recvmsg(int fd, msghdr* message, int flags) noexcept {
  RingFile* const file = RingTable::find(fd);
  if (file == nullptr || !file->buffers_reads() || (flags & ~(plain_flags | MSG_PEEK)) != 0)
    return KernelSystem::recvmsg(fd, message, flags);
  std::ptrdiff_t total = 0;
  std::ptrdiff_t result = 0;
  for (std::size_t i = 0; i < message->msg_iovlen; ++i) {
    const iovec& piece = message->msg_iov[i];
    if (piece.iov_len == 0) continue;
    result = receive(*file, piece.iov_base, piece.iov_len, flags);
    if (result <= 0) break;
    total += result;
    if (static_cast<std::size_t>(result) < piece.iov_len || (flags & MSG_PEEK) != 0) break;
  }
  message->msg_flags = 0;
  message->msg_controllen = 0;
  message->msg_namelen = 0;
  return total > 0 ? total : result;
}

// Writing.

std::ptrdiff_t RingSystem::send(int fd, const void* data, std::size_t size, int flags) noexcept {
  RingFile* const file = RingTable::find(fd);
  return file == nullptr ? written(fd, KernelSystem::send(fd, data, size, flags), size)
                         : transmit(*file, data, size, flags);
}

std::ptrdiff_t RingSystem::transmit(RingFile& file, const void* data, std::size_t size, int flags) noexcept {
  if (file.ring == nullptr) {
    if (file.send_error != 0) return -std::exchange(file.send_error, 0);
    return KernelSystem::send(file.fd, data, size, flags);
  }
  if ((flags & ~plain_flags) != 0 && !file.ring->flush(file)) {
    file.ring->wait_for_room(file);
    return -EAGAIN;
  }
  std::ptrdiff_t result = RingSelector::straight;
  if ((flags & ~plain_flags) == 0) result = file.ring->send(file, static_cast<const std::byte*>(data), size);
  if (result != RingSelector::straight) return result;
  result = KernelSystem::send(file.fd, data, size, flags);
  file.ring->sent_directly(file, result, size);
  return result;
}

std::ptrdiff_t RingSystem::write(int fd, const void* data, std::size_t size) noexcept {
  RingFile* const file = RingTable::find(fd);
  return file == nullptr ? written(fd, KernelSystem::write(fd, data, size), size)
                         : transmit(*file, data, size, 0);
}

std::ptrdiff_t RingSystem::sendmsg(int fd, const msghdr* message, int flags) noexcept {
  RingFile* const file = RingTable::find(fd);
  const std::size_t size = length_of(*message);
  if (file == nullptr || file->ring == nullptr)
    return written(fd, KernelSystem::sendmsg(fd, message, flags), size);
  const bool plain = (flags & ~plain_flags) == 0 && message->msg_controllen == 0;
  if (!plain && !file->ring->flush(*file)) {
    file->ring->wait_for_room(*file);
    return -EAGAIN;
  }
  std::ptrdiff_t total = 0;
  for (std::size_t i = 0; plain && i < message->msg_iovlen; ++i) {
    const iovec& piece = message->msg_iov[i];
    if (piece.iov_len == 0) continue;
    // What is large goes as one message, if nothing is queued.
    std::ptrdiff_t result =
        total == 0 && size >= RingSelector::large_write && file->to_send.empty()
            ? RingSelector::straight
            : file->ring->send(*file, static_cast<const std::byte*>(piece.iov_base), piece.iov_len);
    if (result == RingSelector::straight) {
      if (total > 0) break;
      result = KernelSystem::sendmsg(fd, message, flags);
      file->ring->sent_directly(*file, result, size);
      return result;
    }
    if (result < 0) return total > 0 ? total : result;
    total += result;
    if (static_cast<std::size_t>(result) < piece.iov_len) break;
  }
  if (plain) return total;
  const std::ptrdiff_t result = KernelSystem::sendmsg(fd, message, flags);
  file->ring->sent_directly(*file, result, size);
  return result;
}

std::ptrdiff_t RingSystem::sendfile(int to, int from, std::int64_t* offset, std::size_t count) noexcept {
  RingFile* const file = RingTable::find(to);
  if (file == nullptr || file->ring == nullptr)
    return written(to, KernelSystem::sendfile(to, from, offset, count), count);
  if (!file->ring->flush(*file)) {
    file->ring->wait_for_room(*file);
    return -EAGAIN;
  }
  if (file->send_error != 0) return -std::exchange(file->send_error, 0);
  const std::ptrdiff_t sent = KernelSystem::sendfile(to, from, offset, count);
  file->ring->sent_directly(*file, sent, count);
  return sent;
}

std::ptrdiff_t RingSystem::splice(int from, int to, std::size_t count) noexcept {
  if (RingFile* const source = RingTable::find(from); source != nullptr && source->buffers_reads()) {
    // What the ring has taken is written to the pipe, as much as that takes.
    std::byte bytes[4096];
    const std::ptrdiff_t peeked = receive(*source, bytes, std::min(count, sizeof bytes), MSG_PEEK);
    if (peeked <= 0) {
      if (peeked < 0) receive(*source, bytes, 1, 0);  // the error is told once
      return peeked;
    }
    const std::ptrdiff_t written = write(to, bytes, static_cast<std::size_t>(peeked));
    if (written > 0) receive(*source, bytes, static_cast<std::size_t>(written), 0);
    return written;
  }
  if (RingFile* const target = RingTable::find(to); target != nullptr && target->ring != nullptr) {
    if (!target->ring->flush(*target)) {
      target->ring->wait_for_room(*target);
      return -EAGAIN;
    }
    if (target->send_error != 0) return -std::exchange(target->send_error, 0);
    const std::ptrdiff_t moved = KernelSystem::splice(from, to, count);
    target->ring->sent_directly(*target, moved, count);
    return moved;
  }
  return written(to, KernelSystem::splice(from, to, count), count);
}

int RingSystem::sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) noexcept {
  return static_cast<int>(written(fd, KernelSystem::sendmmsg(fd, messages, count, flags), count));
}

int RingSystem::setsockopt(int fd, int level, int name, const void* value, unsigned length) noexcept {
  // What was written before goes by the options that held then.
  if (level == IPPROTO_TCP)
    if (RingFile* const file = RingTable::find(fd); file != nullptr && file->ring != nullptr)
      file->ring->flush(*file);
  return KernelSystem::setsockopt(fd, level, name, value, length);
}

// Sockets.

int RingSystem::connect(int fd, const sockaddr* address, unsigned length) noexcept {
  RingTable::note_client(fd);
  return KernelSystem::connect(fd, address, length);
}

int RingSystem::shutdown(int fd, int how) noexcept {
  RingFile* const file = RingTable::find(fd);
  return file == nullptr || file->ring == nullptr ? KernelSystem::shutdown(fd, how)
                                                  : file->ring->shut_down(*file, how);
}

namespace {

// Of a ring that has closed.
void forget(RingFile& file) noexcept {
  RingTable::remove(file.fd);
  file.received.clear(nullptr);
  delete &file;
}

}  // namespace

int RingSystem::close(int fd) noexcept {
  RingFile* const file = RingTable::find(fd);
  if (file == nullptr) {
    RingTable::remove(fd);
    return KernelSystem::close(fd);
  }
  if (file->ring != nullptr) return file->ring->close(*file);
  if (!file->received.empty()) reset_when_closed(fd);
  forget(*file);
  return KernelSystem::close(fd);
}

std::size_t RingSystem::unread(int fd) noexcept {
  RingFile* const file = RingTable::find(fd);
  return file == nullptr ? 0 : file->received.size();
}

std::ptrdiff_t RingSystem::take_unread(int fd, void* data, std::size_t size) noexcept {
  RingFile* const file = RingTable::find(fd);
  if (file == nullptr) return 0;
  auto* const bytes = static_cast<std::byte*>(data);
  return static_cast<std::ptrdiff_t>(file->ring != nullptr
                                         ? file->ring->take_unread(*file, bytes, size)
                                         : file->received.take(nullptr, bytes, size, false));
}

int RingSystem::release(int fd) noexcept {
  RingFile* const file = RingTable::find(fd);
  if (file == nullptr) return 0;
  if (file->ring != nullptr) {
    if (file->ring->let_go(*file)) return 0;
  } else if (unread(fd) == 0) {
    forget(*file);
    return 0;
  }
  return -EBUSY;
}

int RingSystem::poll_now(int fd, short events) noexcept {
  const int kernels = KernelSystem::poll_now(fd, events);
  RingFile* const file = RingTable::find(fd);
  if (kernels < 0 || (kernels & POLLNVAL) != 0) return kernels;
  if (file == nullptr) {
    if ((events & ~kernels & POLLOUT) != 0) had_no_room(fd);
    return kernels;
  }
  int result = kernels;
  if (file->is_readable()) result |= events & POLLIN;
  if (file->ring == nullptr || (events & POLLOUT) == 0) return result;
  // Whoever is told that there is no room waits to be told that there is.
  if (file->to_send.room() == 0) {
    result &= ~POLLOUT;
    file->ring->wait_for_room(*file);
  }
  if ((kernels & POLLOUT) == 0 && file->polls_room_alone()) file->ring->poll_for_room(*file);
  return result;
}

// What there is.

void (*alter_completion)(unsigned kind, int& result) = nullptr;

namespace {

constinit Immortal<RingSystem> the_ring;  // as kernel_system()

}  // namespace

System& ring_system() noexcept { return the_ring.value; }

BaseSelector* make_ring_selector(bool one_thread) { return new RingSelector(one_thread); }

namespace {

// Whether a multishot receive into provided buffers works here, as it does from Linux 6.0 on.
bool try_ring() {
  UringQueue queue(true);
  ReceiveBuffers buffers(queue);
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) throw_errno(errno, "socketpair", -1);
  bool works = false;
  if (io_uring_sqe* const sqe = queue.next()) {
    io_uring_prep_recv_multishot(sqe, ends[0], nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = ReceiveBuffers::group;
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    io_uring_sqe_set_data64(sqe, 1);
    if (::write(ends[1], "", 1) == 1 && queue.enter(std::chrono::seconds(1)) == 0)
      queue.take([&](const io_uring_cqe& completion) {
        works = works || (completion.res == 1 && (completion.flags & IORING_CQE_F_MORE) != 0);
      });
  }
  // ... and a send that says at once that not all could be sent.
  bool says_so = false;
  static constexpr char much[512 << 10]{};
  if (io_uring_sqe* const sqe = works ? queue.next() : nullptr) {
    io_uring_prep_send(sqe, ends[1], much, sizeof much, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, 2);
    if (queue.enter(Duration(0)) == 0)
      queue.take([&](const io_uring_cqe& completion) {
        if (completion.user_data == 2)
          says_so = completion.res == -EAGAIN || (completion.res > 0 && completion.res < int{sizeof much});
      });
  }
  ::close(ends[0]);
  ::close(ends[1]);
  queue.close();  // before its buffers go
  return works && says_so;
}

}  // namespace

bool ring_is_complete() {
  static std::atomic<int> known{-1};
  int complete = known.load(std::memory_order_relaxed);
  if (complete < 0) {
    try {
      complete = try_ring() ? 1 : 0;
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::invalid_argument) throw;
      complete = 0;  // the kernel doesn't know a flag, or provided buffers
    }
    known.store(complete, std::memory_order_relaxed);
  }
  return complete == 1;
}

}  // namespace heddle::detail

#else

namespace heddle::detail {

void (*alter_completion)(unsigned kind, int& result) = nullptr;
bool ring_is_complete() { return false; }
System& ring_system() noexcept { return kernel_system(); }
BaseSelector* make_ring_selector(bool) { throw_errno(ENOSYS, "io_uring_setup", -1); }

}  // namespace heddle::detail

#endif
