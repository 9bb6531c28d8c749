// CheckedSelector: compares the file behind each registered descriptor with the one that was registered.
// SPDX-License-Identifier: MIT
#include "checked_selector.hpp"

#include <sys/stat.h>

#include <cstdio>
#include <utility>

namespace heddle {
namespace {

void to_stderr(void*, const char* finding) { std::fprintf(stderr, "heddle: %s\n", finding); }

}  // namespace

CheckedSelector::CheckedSelector(std::unique_ptr<BaseSelector> inner, Handler handler, void* argument)
    : SelectorDecorator(std::move(inner)),
      handler_(handler != nullptr ? handler : to_stderr),
      argument_(argument) {}

CheckedSelector::CheckedSelector(BaseSelector& inner, Handler handler, void* argument)
    : SelectorDecorator(inner), handler_(handler != nullptr ? handler : to_stderr), argument_(argument) {}

CheckedSelector::CheckedSelector(CheckedSelector&& other) noexcept
    : SelectorDecorator(std::move(other)),
      known_(std::move(other.known_)),
      handler_(other.handler_),
      argument_(other.argument_),
      findings_(other.findings_) {}

CheckedSelector::~CheckedSelector() { close(); }

int CheckedSelector::do_register(const SelectorKey& key, std::uint32_t generation, Trigger trigger) {
  const int error = SelectorDecorator::do_register(key, generation, trigger);
  if (error != 0) return error;
  const auto index = static_cast<std::size_t>(key.fd);
  try {
    known_.reserve(index + 1);
  } catch (...) {
    SelectorDecorator::do_unregister(key, generation);
    throw;
  }
  struct stat now{};
  const bool open = ::fstat(key.fd, &now) == 0;
  known_[index] = {static_cast<std::uint64_t>(now.st_dev), static_cast<std::uint64_t>(now.st_ino),
                   key.events.bits(), false};
  if (!open) report_finding(key.fd, "was registered though it is not open");
  return 0;
}

int CheckedSelector::do_modify(const SelectorKey& key, EventMask before, std::uint32_t generation,
                               Trigger trigger) {
  Identity& known = known_[static_cast<std::size_t>(key.fd)];
  examine(key.fd);
  known.events = 0;
  const int error = SelectorDecorator::do_modify(key, before, generation, trigger);
  if (error == 0) known.events = key.events.bits();
  return error;
}

void CheckedSelector::do_unregister(const SelectorKey& key, std::uint32_t generation) noexcept {
  examine(key.fd);
  known_[static_cast<std::size_t>(key.fd)].events = 0;
  SelectorDecorator::do_unregister(key, generation);
}

int CheckedSelector::do_wait(Timeout timeout) {
  for (int fd = next(-1); fd >= 0; fd = next(fd)) examine(fd);
  return SelectorDecorator::do_wait(timeout);
}

void CheckedSelector::do_close() noexcept {
  for (std::size_t i = 0; is_in_its_process() && i < known_.capacity(); ++i) {
    if (known_[i].events == 0) continue;
    examine(static_cast<int>(i));
    report_finding(static_cast<int>(i), "was still registered when the selector was closed");
  }
  SelectorDecorator::do_close();
}

void CheckedSelector::examine(int fd) noexcept {
  Identity& known = known_[static_cast<std::size_t>(fd)];
  if (known.reported) return;
  struct stat now{};
  if (::fstat(fd, &now) != 0) {
    report_finding(fd, "was closed while it was registered");
  } else if (static_cast<std::uint64_t>(now.st_dev) != known.device ||
             static_cast<std::uint64_t>(now.st_ino) != known.inode) {
    report_finding(fd, "was closed while it was registered, and its number belongs to another file now");
  }
}

void CheckedSelector::report_finding(int fd, const char* what) noexcept {
  Identity& known = known_[static_cast<std::size_t>(fd)];
  known.reported = true;
  ++findings_;
  static constexpr const char* NAMES[] = {"", "READ", "WRITE", "READ|WRITE"};
  char text[160];
  std::snprintf(text, sizeof text, "fd %d %s (%s)", fd, what, NAMES[known.events & 3]);
  handler_(argument_, text);
}

}  // namespace heddle
