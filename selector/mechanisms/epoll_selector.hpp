// EpollSelector: readiness from Linux epoll(7).
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"

struct epoll_event;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The default on Linux: the cost of a wait grows with what is ready, not with what is registered. Refuses
/// regular files (EPERM). A descriptor closed while registered is reported no more.
class HEDDLE_EXPORT EpollSelector final : public BaseSelector {
 public:
  /// Throws std::system_error when the kernel refuses an epoll descriptor.
  EpollSelector();
  EpollSelector(EpollSelector&& other) noexcept;
  ~EpollSelector() override;

  [[nodiscard]] const char* name() const noexcept override { return "epoll"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return Capability::FILENO | Capability::EDGE_TRIGGER;
  }
  [[nodiscard]] int descriptor() const noexcept override { return epoll_; }
  [[nodiscard]] bool has_wait_raw() const noexcept override { return true; }
  /// The epoll descriptor, readable when something is ready. Throws SelectorClosed after close().
  [[nodiscard]] int fileno() const;

 private:
  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  int do_wait_raw(Timeout timeout, int most, KernelEvents& events) override;
  void do_read(const KernelEvent& event, Ready& ready) const noexcept override;
  int do_purge() override;
  void do_close() noexcept override;

  int wait_once(Timeout timeout, int most) noexcept;
  int wait_until(Timeout timeout, int most) noexcept;
  int failed_wait() noexcept;
  [[nodiscard]] int room() const noexcept { return static_cast<int>(events_.capacity()); }

  int epoll_ = -1;
  bool has_pwait2_ = true;
  bool lost_ = false;  // perhaps the number is another file's by now, or nobody's
  detail::Buffer<KernelEvent> events_;
};

}  // namespace heddle

HEDDLE_HEADER_END
