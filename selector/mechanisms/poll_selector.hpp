// PollSelector: readiness from poll(2), which every Unix has.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"

struct pollfd;

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The cost of a wait grows with what is registered. Takes regular files and calls them ready; a descriptor
/// closed while registered is reported as ready.
class HEDDLE_EXPORT PollSelector final : public BaseSelector {
 public:
  PollSelector() noexcept;
  PollSelector(PollSelector&& other) noexcept;
  ~PollSelector() override;

  [[nodiscard]] const char* name() const noexcept override { return "poll"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override { return Capability::REGULAR_FILES; }

 private:
  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  detail::Buffer<pollfd> polled_;         // dense, in no order
  detail::Buffer<std::uint32_t> places_;  // by descriptor: where in polled_
  std::size_t count_ = 0;
};

}  // namespace heddle

HEDDLE_HEADER_END
