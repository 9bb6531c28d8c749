// DevpollSelector: readiness from /dev/poll, on the Solaris family.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"

struct pollfd;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The registrations stay in the kernel, by descriptor and not by open file: one that is closed while
/// registered is reported as ready, as by poll(2). Times are whole milliseconds, rounded up. A forked child
/// needs a selector of its own.
class HEDDLE_EXPORT DevpollSelector final : public BaseSelector {
 public:
  /// Throws std::system_error where there is no /dev/poll.
  DevpollSelector();
  DevpollSelector(DevpollSelector&& other) noexcept;
  ~DevpollSelector() override;

  [[nodiscard]] const char* name() const noexcept override { return "devpoll"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override {
    return Capability::FILENO | Capability::REGULAR_FILES;
  }
  [[nodiscard]] int descriptor() const noexcept override { return device_; }
  /// The device's descriptor, readable when something is ready. Throws SelectorClosed after close().
  [[nodiscard]] int fileno() const;

 private:
  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  int write_changes(const pollfd* changes, std::size_t count) noexcept;
  void remove(int fd) noexcept;

  int device_ = -1;
  detail::Buffer<pollfd> ready_;
};

}  // namespace heddle

HEDDLE_HEADER_END
