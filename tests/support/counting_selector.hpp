// CountingSelector: another selector that counts what its loop asks of it.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string_view>

#include "../../selector/base_selector.hpp"
#include "../../selector/mechanisms/make_selector.hpp"

namespace heddle::test {

class CountingSelector final : public BaseSelector {
 public:
  explicit CountingSelector(std::string_view name)
      : BaseSelector("change", "wait"), inner_(make_selector(name)) {}
  ~CountingSelector() override { close(); }

  int changes() const { return registered + modified + unregistered; }

  int registered = 0;
  int modified = 0;
  int unregistered = 0;
  int waits = 0;
  int fail_wait_with = 0;      ///< an errno for every wait from now on
  int fail_register_with = 0;  ///< for every registration

  const char* name() const noexcept override { return inner_->name(); }
  Capabilities capabilities() const noexcept override { return inner_->capabilities(); }
  int descriptor() const noexcept override { return inner_->descriptor(); }
  void set_nested(bool nested) noexcept override { inner_->set_nested(nested); }

 private:
  int do_register(const SelectorKey& key, std::uint32_t, Trigger trigger) override {
    if (fail_register_with != 0) return fail_register_with;
    ++registered;
    inner_->register_(key.fd, key.events, {}, trigger);
    return 0;
  }
  int do_modify(const SelectorKey& key, EventMask, std::uint32_t, Trigger) override {
    ++modified;
    inner_->modify(key.fd, key.events);
    return 0;
  }
  void do_unregister(const SelectorKey& key, std::uint32_t) noexcept override {
    ++unregistered;
    inner_->unregister(key.fd);
  }
  int do_wait(Timeout timeout) override {
    if (fail_wait_with != 0) return fail_wait_with;
    ++waits;
    for (const Ready& ready : inner_->select(timeout))
      report(ready.key.fd, generation(ready.key.fd), ready.events, ready.hangup);
    return 0;
  }
  void do_close() noexcept override { inner_->close(); }

  std::unique_ptr<BaseSelector> inner_;
};

}  // namespace heddle::test
