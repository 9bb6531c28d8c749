// TracingSelector: the lines, which are formatted without allocating.
// SPDX-License-Identifier: MIT
#include "tracing_selector.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <exception>
#include <utility>

namespace heddle {
namespace {

void to_stderr(void*, std::string_view line) {
  char text[512];
  const int size =
      std::snprintf(text, sizeof text, "heddle: %.*s\n", static_cast<int>(line.size()), line.data());
  (void)!::write(STDERR_FILENO, text, static_cast<std::size_t>(size));
}

const char* name_of(EventMask events) noexcept {
  static constexpr const char* NAMES[] = {"0", "READ", "WRITE", "READ|WRITE"};
  return NAMES[events.bits() & 3];
}

}  // namespace

// A line in a fixed buffer, truncated where that ends.
class TracingSelector::Line {
 public:
  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) noexcept {
    va_list arguments;
    va_start(arguments, format);
    const int size = std::vsnprintf(text_ + used_, sizeof text_ - used_, format, arguments);
    va_end(arguments);
    if (size > 0) used_ += static_cast<std::size_t>(size);
    if (used_ >= sizeof text_) used_ = sizeof text_ - 1;
  }
  [[nodiscard]] bool nearly_full() const noexcept { return used_ + 64 > sizeof text_; }
  [[nodiscard]] std::string_view text() const noexcept { return {text_, used_}; }

 private:
  char text_[448];
  std::size_t used_ = 0;
};

namespace {

double milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

}  // namespace

TracingSelector::TracingSelector(std::unique_ptr<BaseSelector> inner, Sink sink, void* argument)
    : SelectorDecorator(std::move(inner)), sink_(sink != nullptr ? sink : to_stderr), argument_(argument) {}

TracingSelector::TracingSelector(BaseSelector& inner, Sink sink, void* argument)
    : SelectorDecorator(inner), sink_(sink != nullptr ? sink : to_stderr), argument_(argument) {}

TracingSelector::TracingSelector(TracingSelector&& other) noexcept
    : SelectorDecorator(std::move(other)),
      sink_(other.sink_),
      argument_(other.argument_),
      enabled_(other.enabled_) {}

TracingSelector::~TracingSelector() { close(); }

// Makes the call and then writes the line, with the error at its end if there was one.
template <class Call>
int TracingSelector::traced(Line& line, Call&& call) {
  try {
    const int error = call();
    sink_(argument_, line.text());
    return error;
  } catch (const std::exception& failed) {
    line.add(": %s", failed.what());
    sink_(argument_, line.text());
    throw;
  }
}

int TracingSelector::do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) {
  if (!enabled_) return SelectorDecorator::do_register(key, generation, trigger);
  Line line;
  line.add("register fd %d %s%s", key.fd, name_of(key.events), trigger == Trigger::EDGE ? " EDGE" : "");
  return traced(line, [&] { return SelectorDecorator::do_register(key, generation, trigger); });
}

int TracingSelector::do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation,
                               Trigger trigger) {
  if (!enabled_) return SelectorDecorator::do_modify(key, before, generation, trigger);
  Line line;
  line.add("modify fd %d %s -> %s", key.fd, name_of(before), name_of(key.events));
  return traced(line, [&] { return SelectorDecorator::do_modify(key, before, generation, trigger); });
}

void TracingSelector::do_modify_data(const SelectorKey& key) {
  SelectorDecorator::do_modify_data(key);
  if (!enabled_) return;
  Line line;
  line.add("modify fd %d data", key.fd);
  sink_(argument_, line.text());
}

void TracingSelector::do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept {
  SelectorDecorator::do_unregister(key, generation);
  if (!enabled_) return;
  Line line;
  line.add("unregister fd %d", key.fd);
  sink_(argument_, line.text());
}

int TracingSelector::do_wait(Timeout timeout) {
  if (!enabled_) return SelectorDecorator::do_wait(timeout);
  Line line;
  if (timeout.forever()) {
    line.add("select for ever");
  } else if (timeout.only_polls()) {
    line.add("select 0 ms");
  } else {
    line.add("select %.3f ms", milliseconds(timeout.duration()));
  }
  const TimePoint start = now();
  return traced(line, [&] {
    const int error = SelectorDecorator::do_wait(timeout);
    const double took = milliseconds(now() - start);
    if (error != 0) {
      line.add(": a signal after %.3f ms", took);
    } else {
      line.add(": %zu ready after %.3f ms", last().size(), took);
    }
    const char* separator = ": ";
    for (const auto& [key, events] : last()) {
      if (line.nearly_full()) {
        line.add(", ...");
        break;
      }
      line.add("%s%d %s", separator, key.fd, name_of(events));
      separator = ", ";
    }
    return error;
  });
}

void TracingSelector::do_close() noexcept {
  SelectorDecorator::do_close();
  if (enabled_) sink_(argument_, "close");
}

void TracingSelector::do_refused(const char* message) const noexcept {
  if (!enabled_) return;
  Line line;
  line.add("refused: %s", message);
  sink_(argument_, line.text());
}

}  // namespace heddle
