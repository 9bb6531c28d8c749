// KqueueSelector: readiness from kqueue(2), on macOS and the BSDs.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"

struct kevent;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The default on macOS and the BSDs. A regular file is ready for READ unless its offset is at its end. A
/// descriptor closed while registered is reported no more. The child of a fork() doesn't inherit a kqueue:
/// make another selector there.
class HEDDLE_EXPORT KqueueSelector final : public BaseSelector {
 public:
  /// Throws std::system_error when the kernel refuses a kqueue.
  KqueueSelector();
  KqueueSelector(KqueueSelector&& other) noexcept;
  ~KqueueSelector() override;

  [[nodiscard]] const char* name() const noexcept override { return "kqueue"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return Capability::FILENO | Capability::EDGE_TRIGGER;
  }
  [[nodiscard]] int descriptor() const noexcept override { return kqueue_; }
  /// The kqueue's descriptor, readable when something is ready. Throws SelectorClosed after close().
  [[nodiscard]] int fileno() const;

 private:
  struct Found;

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  int change(int fd, EventMask wanted, EventMask unwanted, std::uint32_t generation,
             Trigger trigger) noexcept;

  int kqueue_ = -1;
  detail::Buffer<struct kevent> events_;
  detail::Buffer<Found> found_;  // by descriptor: the events of its two filters in one wait, merged
};

}  // namespace heddle

HEDDLE_HEADER_END
