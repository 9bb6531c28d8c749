// RingFile: a descriptor as a ring knows it: its requests in the kernel, what has come, what is to be sent.
// For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <utility>

#include "../system.hpp"
#include "receive_buffers.hpp"
#include "send_queue.hpp"

namespace heddle::detail {

class RingSelector;

/// A request of a file in the kernel. Its user data is the file's address and this in the lowest bits; 0 is a
/// request whose completion nobody wants.
enum class Request : std::uint8_t {
  RECEIVE = 1,
  SEND = 2,
  POLL = 3,
  POLL_WRITE = 4,
  HANGUP = 5,  ///< a poll for the end of a connection; see RingSelector::hangup_completed()
};
inline constexpr Request all_requests[] = {Request::RECEIVE, Request::SEND, Request::POLL,
                                           Request::POLL_WRITE, Request::HANGUP};

/// A set of requests.
class Requests {
 public:
  bool has(Request one) const noexcept { return (bits_ & bit(one)) != 0; }
  void add(Request one) noexcept { bits_ = static_cast<std::uint8_t>(bits_ | bit(one)); }
  void remove(Request one) noexcept { bits_ = static_cast<std::uint8_t>(bits_ & ~bit(one)); }
  bool empty() const noexcept { return bits_ == 0; }

 private:
  static unsigned bit(Request one) noexcept { return 1U << static_cast<unsigned>(one); }
  std::uint8_t bits_ = 0;
};

/// One registration of a descriptor. Of a stream it stays, with what is queued, until the descriptor is
/// closed or released; of others until it is unregistered. It is freed when the kernel has no request of it
/// any more.
struct RingFile {
  /// How the kernel says what is new.
  enum class Use : std::uint8_t {
    LEVEL,       ///< a one-shot poll, again and again
    EDGE,        ///< a multishot poll
    CONNECTING,  ///< a one-shot poll, and STREAM when that has completed
    STREAM,      ///< a multishot receive
  };

  RingFile(RingSelector& its_ring, int number) noexcept : ring(&its_ring), fd(number) {}

  /// Something is to be read.
  bool is_readable() const noexcept { return !received.empty() || ended; }
  /// A read has something to take here, or to wait for, before the kernel is asked.
  bool buffers_reads() const noexcept { return requests.has(Request::RECEIVE) || !received.empty() || ended; }
  bool sends() const noexcept { return !to_send.empty(); }
  /// Whether there is room to write is polled where a write found none.
  bool polls_room_alone() const noexcept { return use == Use::STREAM || polled || watched; }

  RingSelector* ring;  ///< nullptr: it has closed
  RingFile* next_todo = nullptr;
  RingFile* next_pending = nullptr;
  RingFile* next_send = nullptr;
  std::uint64_t inode = 0;    ///< of the file that was registered
  std::uint32_t sending = 0;  ///< of a send that was submitted
  int fd;
  std::uint32_t generation = 0;
  Use use = Use::LEVEL;
  Requests requests;  ///< in the kernel
  Requests to_cancel;
  short poll_events = 0;     ///< LEVEL: what is asked for
  std::uint16_t window = 0;  ///< of WaitCoalescing
  std::uint8_t events = 0;   ///< to be reported: bits of KernelEvent
  std::uint8_t large_reads = 0;
  std::uint8_t small_reads = 0;
  bool todo = false;                ///< in the list of those that have something to submit
  bool in_sends = false;            ///< in the list of those with a send that isn't known to be done
  bool pending = false;             ///< in the list of those that have something to report
  bool hangup = false;              ///< to be reported
  bool wants_room = false;          ///< a write of the user's waits for the queue
  bool shut_down = false;           ///< for writing, as soon as the queue is empty
  bool registered : 1 = false;      ///< reports reach somebody
  bool in_table : 1 = false;        ///< a stream of TCP or Unix: RingTable::find() finds it
  bool polled : 1 = false;          ///< EDGE for ever: a Unix stream, whose bytes may carry descriptors
  bool watched : 1 = false;         ///< EDGE: RingTable::find_watched() finds it
  bool direct : 1 = false;          ///< STREAM: to become EDGE as soon as the receive has ended
  bool gone : 1 = false;            ///< only its requests are left
  bool held : 1 = false;            ///< a completion of it is being read
  bool multishot : 1 = false;       ///< LEVEL: see RingSelector::poll_completed()
  bool half_closed : 1 = false;     ///< the peer sends no more: the same for polls of room to write
  bool ended : 1 = false;           ///< the peer sends no more, or receiving has failed with receive_error
  bool frozen : 1 = false;          ///< nothing is submitted, only cancelled
  bool polls_write : 1 = false;     ///< one waits for the kernel
  bool no_more_writes : 1 = false;  ///< it is shut down or broken: the kernel says so best
  bool is_client : 1 = false;       ///< it was connected by this process, from an address of its own
  bool closing : 1 = false;         ///< closed, as soon as the queue is empty, or at close_deadline
  bool hung_up : 1 = false;         ///< HANGUP has completed
  std::int16_t receive_error = 0;
  std::int16_t send_error = 0;
  ReceiveQueue received;
  SendQueue to_send;
  TimePoint close_deadline{};
};

/// Files in the order in which they were added, each once.
template <RingFile* RingFile::* next, bool RingFile::* member>
class RingFileList {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  void add(RingFile& file) noexcept {
    if (std::exchange(file.*member, true)) return;
    file.*next = nullptr;
    (first_ == nullptr ? first_ : last_->*next) = &file;
    last_ = &file;
  }
  /// nullptr when there is none.
  RingFile* pop() noexcept {
    RingFile* const file = first_;
    if (file == nullptr) return nullptr;
    first_ = file->*next;
    file->*member = false;
    return file;
  }
  /// All that are there now.
  RingFile* take_all() noexcept { return std::exchange(first_, nullptr); }

 private:
  RingFile* first_ = nullptr;
  RingFile* last_ = nullptr;
};

}  // namespace heddle::detail
