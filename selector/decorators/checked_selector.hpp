// CheckedSelector: finds descriptors that were closed while registered, reused, or never unregistered.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "selector_decorator.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// For tests and debugging: checks each registered descriptor by an fstat(2) when select() begins, and when
/// it is modified or unregistered. `CheckedSelector selector(make_selector());`
class HEDDLE_EXPORT CheckedSelector final : public SelectorDecorator {
 public:
  /// Gets "fd 7 was closed while it was registered (READ)" and the like, once a registration and fault. Must
  /// not throw.
  using Handler = void (*)(void* argument, const char* finding);

  /// Without a handler the findings go to standard error.
  explicit CheckedSelector(std::unique_ptr<BaseSelector> inner, Handler handler = nullptr,
                           void* argument = nullptr);
  explicit CheckedSelector(BaseSelector& inner, Handler handler = nullptr, void* argument = nullptr);
  CheckedSelector(CheckedSelector&& other) noexcept;
  ~CheckedSelector() override;

  /// How many there were so far.
  [[nodiscard]] std::size_t findings() const noexcept { return findings_; }

 private:
  // The file behind a descriptor. Files that share an anonymous inode (eventfd, timerfd) have the same.
  struct Identity {
    std::uint64_t device, inode;
    int events;  // 0: not registered
    bool reported;
  };

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  void examine(int fd) noexcept;
  void report_finding(int fd, const char* what) noexcept;

  detail::Buffer<Identity> known_;  // by descriptor
  Handler handler_;
  void* argument_;
  std::size_t findings_ = 0;
};

}  // namespace heddle

HEDDLE_HEADER_END
