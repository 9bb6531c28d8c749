// CheckedSelector: finds descriptors that were closed while registered, reused numbers, and what was left
// behind.
// SPDX-License-Identifier: MIT
#pragma once

#include "selector_decorator.hpp"

namespace heddle {

/// For tests and debugging: looks at each registered descriptor (one fstat) as select() begins and as it is
/// touched. `CheckedSelector selector(make_selector());`
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
  // Who is behind a number. Those that share an anonymous inode (eventfd, timerfd) can't be told from each
  // other.
  struct Identity {
    std::uint64_t device, inode;
    int events;  // 0: not registered
    bool told;
  };

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  void examine(int fd) noexcept;
  void tell(int fd, const char* what) noexcept;

  Buffer<Identity> known_;  // by descriptor
  Handler handler_;
  void* argument_;
  std::size_t findings_ = 0;
};

}  // namespace heddle
