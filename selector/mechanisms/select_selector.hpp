// SelectSelector: readiness from select(2), for where there is nothing better.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include "../base_selector.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The cost of a wait grows with the highest descriptor, which must be below FD_SETSIZE (1024 as a rule; else
/// ValueError). Takes regular files and calls them ready; a descriptor closed while registered makes select()
/// throw EBADF.
class HEDDLE_EXPORT SelectSelector final : public BaseSelector {
 public:
  SelectSelector();
  SelectSelector(SelectSelector&& other) noexcept;
  ~SelectSelector() override;

  [[nodiscard]] const char* name() const noexcept override { return "select"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override { return Capability::REGULAR_FILES; }

 private:
  struct Sets;

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;

  void ask(int fd, EventMask events) noexcept;

  detail::Buffer<Sets> sets_;  // one
  int highest_ = -1;
};

}  // namespace heddle

HEDDLE_HEADER_END
