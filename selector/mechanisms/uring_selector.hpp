// UringSelector: readiness from io_uring(7), where changes travel in batches.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"

struct io_uring;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// One-shot poll requests, of which all that have completed are submitted again at once when the next
/// select() begins: level-triggered, with one or two system calls a wait, and for a registration only an
/// fcntl(2) that checks the descriptor. Regular files are always ready. A request in the kernel references
/// its file: one whose descriptor is closed while registered stays open until unregister(). Needs liburing
/// when heddle is built and Linux 5.11 when it runs; only for the thread that made it.
class HEDDLE_EXPORT UringSelector final : public BaseSelector {
 public:
  /// Throws std::system_error when the kernel, a sandbox or the build has no io_uring.
  UringSelector();
  UringSelector(UringSelector&& other) noexcept;
  ~UringSelector() override;

  [[nodiscard]] const char* name() const noexcept override { return "io_uring"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return Capability::FILENO | Capability::REGULAR_FILES | Capability::BATCHED_CHANGES;
  }
  [[nodiscard]] int descriptor() const noexcept override;
  void set_nested(bool nested) noexcept override;
  /// The ring's descriptor, readable when something is ready, for another selector to watch: this calls
  /// set_nested(true), by which poll requests are submitted at the end of each select() and with each change
  /// as well. Throws SelectorClosed after close().
  [[nodiscard]] int fileno() const;

 private:
  struct Watch;

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  template <class Visit>
  void drain(Visit&& visit) noexcept;
  void drain() noexcept;
  void queue(int fd) noexcept;
  int arm_queued() noexcept;
  int push_poll(int fd) noexcept;
  int cancel(int fd) noexcept;
  void abandon(int fd) noexcept;
  void rearm_all() noexcept;
  int make_room() noexcept;
  int failed(int error) noexcept;
  int submit() noexcept;

  detail::Buffer<io_uring> ring_;  // one
  detail::Buffer<Watch> watches_;  // by descriptor
  detail::Buffer<int> queue_;      // the descriptors whose polls are to be submitted
  std::size_t queued_ = 0;
  bool lost_ = false;            // perhaps the ring's number is another file's by now, or nobody's
  mutable bool nested_ = false;  // another selector watches the ring
};

}  // namespace heddle

HEDDLE_HEADER_END
