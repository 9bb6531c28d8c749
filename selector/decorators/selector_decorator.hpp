// SelectorDecorator: a selector around another one, which it forwards to; the base of CheckedSelector and
// TracingSelector.
// SPDX-License-Identifier: MIT
#pragma once

#include "../base_selector.hpp"
#include "../mechanisms/make_selector.hpp"  // for std::unique_ptr

namespace heddle {

/// Behaves as the selector inside does. Override a hook, call this class's version of it, and add what you
/// are for. The inner one is owned, or borrowed and then must live longer; either way leave it alone
/// meanwhile. Closing closes it.
class HEDDLE_EXPORT SelectorDecorator : public BaseSelector {
 public:
  ~SelectorDecorator() override;
  [[nodiscard]] const char* name() const noexcept override { return inner_->name(); }
  [[nodiscard]] Capabilities capabilities() const noexcept override { return inner_->capabilities(); }
  [[nodiscard]] int descriptor() const noexcept override { return inner_->descriptor(); }

 protected:
  explicit SelectorDecorator(BaseSelector& inner) noexcept;
  /// Throws ValueError when there is none.
  explicit SelectorDecorator(std::unique_ptr<BaseSelector> inner);
  SelectorDecorator(SelectorDecorator&& other) noexcept;

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_modify_data(const SelectorKey& key) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  /// What the wait that do_wait() made has found.
  [[nodiscard]] ReadyList last() const noexcept { return last_; }

 private:
  std::unique_ptr<BaseSelector> owned_;
  BaseSelector* inner_;
  ReadyList last_;
};

}  // namespace heddle
