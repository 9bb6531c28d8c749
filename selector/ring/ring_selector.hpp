// RingSelector: registrations and waits of a loop on a ring. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <vector>

#include "../base_selector.hpp"
#include "ring_file.hpp"
#include "uring_queue.hpp"
#include "wait_coalescing.hpp"

namespace heddle::detail {

/// In the kernel.
bool has_unread(int fd) noexcept;
/// A connection's peer gets a reset when `fd` is closed.
void reset_when_closed(int fd) noexcept;

/// Registrations by number are polls. Of a stream that is registered for edges, readiness is what was
/// received (of TCP), or is left of the room to send: `recv` and `send` of RingSystem come here.
class RingSelector final : public BaseSelector {
 public:
  explicit RingSelector(bool one_thread);
  RingSelector(const RingSelector&) = delete;
  ~RingSelector() override;

  [[nodiscard]] const char* name() const noexcept override { return "io_uring"; }
  /// A ring that defers its work tells who polls its descriptor nothing of it.
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    const Capabilities all =
        Capability::REGULAR_FILES | Capability::EDGE_TRIGGER | Capability::BATCHED_CHANGES;
    return queue_.defers() ? all : all | Capability::FILENO;
  }
  [[nodiscard]] int descriptor() const noexcept override { return closed() ? -1 : queue_.fd(); }
  [[nodiscard]] bool has_wait_raw() const noexcept override { return true; }
  [[nodiscard]] std::uint64_t enters() const noexcept override { return queue_.enters(); }
  void set_nested(bool nested) noexcept override;
  void flush() noexcept override;

  // For RingSystem: `file` is one of RingTable's, of this ring, in the process that made it.

  std::ptrdiff_t receive(RingFile& file, std::byte* data, std::size_t size, bool peek) noexcept;
  /// What the kernel has received of a file that reads straight from it.
  void received_directly(RingFile& file, std::ptrdiff_t result) noexcept;
  /// May return `straight`: the kernel is to be asked, and told the result by sent_directly().
  std::ptrdiff_t send(RingFile& file, const std::byte* data, std::size_t size) noexcept;
  void sent_directly(RingFile& file, std::ptrdiff_t result, std::size_t size) noexcept;
  static constexpr std::ptrdiff_t straight = PTRDIFF_MIN;
  /// What is written at once from this size on is worth a system call of its own, rather than a copy.
  static constexpr std::size_t large_write = 8 << 10;
  /// Sends what is queued, if the kernel takes it now. True if nothing is left.
  bool flush(RingFile& file) noexcept;
  int shut_down(RingFile& file, int how) noexcept;
  /// Closes the descriptor, at once or when what is queued has been sent.
  int close(RingFile& file) noexcept;
  /// What was received is taken, and from now on the kernel keeps what comes.
  std::size_t take_unread(RingFile& file, std::byte* data, std::size_t size) noexcept;
  /// The descriptor is others' from now on. False, and nothing has changed, when something is left in its
  /// queues.
  bool let_go(RingFile& file) noexcept;
  /// Somebody waits for room in the queue.
  void wait_for_room(RingFile& file) noexcept { file.wants_room = sends_matter_ = true; }
  /// A write has found no room in the kernel.
  void poll_for_room(RingFile& file) noexcept;

 private:
  using Use = RingFile::Use;

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  int do_wait_raw(Timeout timeout, int most, KernelEvents& events) override;
  void do_read(const KernelEvent& event, Ready& ready) const noexcept override;
  void do_close() noexcept override;

  RingFile* known(int fd) noexcept;
  int look_at(RingFile& file) noexcept;
  void look_at_other_than_tcp(RingFile& file) noexcept;
  static bool enter_in_table(RingFile& file) noexcept;
  void begin(RingFile& file, std::uint32_t generation) noexcept;
  void cancel_all(RingFile& file) noexcept;
  void abandon(RingFile& file) noexcept;
  void stop(RingFile& file) noexcept;
  void free_if_done(RingFile& file) noexcept;
  RingFile& make_file(int fd);
  void leave_behind(RingFile& file) noexcept;

  int wait(Timeout timeout) noexcept;
  void submit_later(RingFile& file) noexcept { todo_.add(file); }
  void prepare_all() noexcept;
  bool prepare(RingFile& file) noexcept;
  bool push(RingFile& file, Request request) noexcept;
  bool push_cancel(RingFile& file, Request request) noexcept;
  void cancel_later(RingFile& file, Request request) noexcept;
  void submit_now() noexcept;
  int enter(Timeout timeout) noexcept;
  void settle_sends() noexcept;
  void harvest(bool fresh) noexcept;
  void completed(const io_uring_cqe& completion, bool fresh) noexcept;
  void receive_completed(RingFile& file, const io_uring_cqe& completion) noexcept;
  void send_completed(RingFile& file, int result) noexcept;
  void poll_completed(RingFile& file, int result, bool fresh) noexcept;
  void room_completed(RingFile& file, int result, bool ends) noexcept;
  void hangup_completed(RingFile& file, int result) noexcept;
  void completions_were_lost() noexcept;
  void notify(RingFile& file, std::uint8_t events, bool hangup = false) noexcept;
  void receive_directly(RingFile& file) noexcept;
  static void note_failure(RingFile& file, std::ptrdiff_t result) noexcept;
  void sent(RingFile& file) noexcept;
  bool has_to_be_sent(RingFile& file) noexcept;
  void drop_with_reset(RingFile& file) noexcept;
  bool close_later(RingFile& file) noexcept;
  void reset_closing(RingFile& file) noexcept;
  void finish_closing(RingFile& file) noexcept;
  Timeout until_close_is_overdue(Timeout timeout) const noexcept;
  void end_overdue_closes() noexcept;
  void wait_for_sends() noexcept;

  std::unique_ptr<ReceiveBuffers> receive_buffers_;
  SendBuffers send_buffers_;
  UringQueue queue_;         // goes before the memory that the kernel uses
  Buffer<RingFile*> files_;  // by descriptor: what is registered, and streams that were
  RingFileList<&RingFile::next_todo, &RingFile::todo> todo_;
  RingFileList<&RingFile::next_pending, &RingFile::pending> pending_;
  RingFileList<&RingFile::next_send, &RingFile::in_sends> sends_;
  bool sends_matter_ = false;  // there is more to do after one that isn't submitted yet
  std::vector<RingFile*> closing_;
  std::vector<RingFile*> made_;      // all that haven't been left behind
  RingFile* spare_files_ = nullptr;  // linked by next_todo
  Buffer<KernelEvent> events_;
  WaitCoalescing coalescing_;
  unsigned outstanding_ = 0;  // requests in the kernel
  bool nested_ = false;
};

}  // namespace heddle::detail
