// SelectorDecorator: a selector around another one, which it forwards to; the base of CheckedSelector and
// TracingSelector.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"
#include "../mechanisms/make_selector.hpp"  // for std::unique_ptr

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Behaves as the selector inside does. To add something, override one of the functions below and call this
/// class's version of it. The inner selector is owned, or borrowed and then must live longer; either way
/// nobody else may use it meanwhile. Closing closes it.
class HEDDLE_EXPORT SelectorDecorator : public BaseSelector {
 public:
  ~SelectorDecorator() override;
  [[nodiscard]] const char* name() const noexcept override { return inner_->name(); }
  [[nodiscard]] Capabilities capabilities() const noexcept override { return inner_->capabilities(); }
  [[nodiscard]] int descriptor() const noexcept override { return inner_->descriptor(); }
  void set_nested(bool nested) noexcept override { inner_->set_nested(nested); }
  void set_system(System& system) noexcept override;

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

  /// What the inner selector has reported in the last do_wait().
  [[nodiscard]] ReadyList last() const noexcept { return last_; }

 private:
  std::unique_ptr<BaseSelector> owned_;
  BaseSelector* inner_;
  ReadyList last_;
};

}  // namespace heddle

HEDDLE_HEADER_END
