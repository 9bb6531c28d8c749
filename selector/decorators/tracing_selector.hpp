// TracingSelector: one line a call, cheap enough to leave in.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include <string_view>

#include "selector_decorator.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Writes lines like these, and nothing but a branch happens while it is switched off:
///
///     register fd 7 READ
///     modify fd 7 READ -> READ|WRITE
///     select 250.000 ms: 2 ready after 0.113 ms: 7 READ, 9 READ|WRITE
///     unregister fd 7
///
/// `TracingSelector selector(make_selector());`
class HEDDLE_EXPORT TracingSelector final : public SelectorDecorator {
 public:
  /// Gets each line without its end. Must not throw.
  using Sink = void (*)(void* argument, std::string_view line);

  /// Without a sink the lines go to standard error, one write(2) each.
  explicit TracingSelector(std::unique_ptr<BaseSelector> inner, Sink sink = nullptr,
                           void* argument = nullptr);
  explicit TracingSelector(BaseSelector& inner, Sink sink = nullptr, void* argument = nullptr);
  TracingSelector(TracingSelector&& other) noexcept;
  ~TracingSelector() override;

  void enable(bool on) noexcept { enabled_ = on; }
  [[nodiscard]] bool enabled() const noexcept { return enabled_; }

 private:
  class Line;

  int do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) override;
  int do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation, Trigger trigger) override;
  void do_modify_data(const SelectorKey& key) override;
  void do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept override;
  int do_wait(Timeout timeout) override;
  void do_close() noexcept override;
  void do_refused(const char* message) const noexcept override;

  template <class Call>
  int traced(Line& line, Call&& call);

  Sink sink_;
  void* argument_;
  bool enabled_ = true;
};

}  // namespace heddle

HEDDLE_HEADER_END
