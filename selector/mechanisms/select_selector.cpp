// SelectSelector: readiness from pselect(2).
// SPDX-License-Identifier: MIT
#include "select_selector.hpp"

#include <fcntl.h>
#include <sys/select.h>

#include <cerrno>
#include <ctime>
#include <string>
#include <utility>

#include "last_error.hpp"

namespace heddle {

using namespace detail;

struct SelectSelector::Sets {
  fd_set read, write;              // what is asked for
  fd_set read_ready, write_ready;  // what select() leaves of a copy
};

SelectSelector::SelectSelector() : BaseSelector("select", "select") { sets_.reserve(1); }

SelectSelector::SelectSelector(SelectSelector&& other) noexcept
    : BaseSelector(std::move(other)),
      sets_(std::move(other.sets_)),
      highest_(std::exchange(other.highest_, -1)) {}

SelectSelector::~SelectSelector() { close(); }

void SelectSelector::ask(int fd, EventMask events) noexcept {
  Sets& sets = sets_[0];
  FD_CLR(fd, &sets.read);
  FD_CLR(fd, &sets.write);
  if (events.contains(EVENT_READ)) FD_SET(fd, &sets.read);
  if (events.contains(EVENT_WRITE)) FD_SET(fd, &sets.write);
}

int SelectSelector::do_register(const SelectorKey& key, std::uint32_t, Trigger) {
  if (key.fd >= FD_SETSIZE) {
    throw ValueError("register on fd " + std::to_string(key.fd) +
                     ": select takes descriptors below FD_SETSIZE (" + std::to_string(FD_SETSIZE) + ") only");
  }
  ask(key.fd, key.events);
  if (key.fd > highest_) highest_ = key.fd;
  return 0;
}

int SelectSelector::do_modify(const SelectorKey& key, EventMask, std::uint32_t, Trigger) {
  ask(key.fd, key.events);
  return 0;
}

void SelectSelector::do_unregister(const SelectorKey& key, std::uint32_t) noexcept {
  ask(key.fd, EventMask());
  const Sets& sets = sets_[0];
  while (highest_ >= 0 && !FD_ISSET(highest_, &sets.read) && !FD_ISSET(highest_, &sets.write)) --highest_;
}

int SelectSelector::do_wait(Timeout timeout) {
  Sets& sets = sets_[0];
  sets.read_ready = sets.read;
  sets.write_ready = sets.write;
  const auto ns = timeout.forever() || timeout.only_polls() ? 0 : timeout.duration().count();
  // Some kernels refuse more than 10^8 seconds; a wait that ends too early is repeated by BaseSelector.
  const auto seconds = ns / 1'000'000'000;
  const timespec exactly{static_cast<std::time_t>(seconds < 100'000'000 ? seconds : 100'000'000),
                         static_cast<long>(ns % 1'000'000'000)};
  const timespec* const until = timeout.forever() ? nullptr : &exactly;
  int left = ::pselect(highest_ + 1, &sets.read_ready, &sets.write_ready, nullptr, until, nullptr);
  if (left < 0) {
    const int error = last_error();
    if (error != EBADF) return error;
    for (int fd = next(-1); fd >= 0; fd = next(fd)) {
      if (::fcntl(fd, F_GETFD) < 0) throw_errno(error, "select", fd);
    }
    return error;
  }
  for (int fd = 0; left > 0; ++fd) {
    const int read = FD_ISSET(fd, &sets.read_ready) ? 1 : 0;
    const int write = FD_ISSET(fd, &sets.write_ready) ? 1 : 0;
    if (read + write == 0) continue;
    left -= read + write;
    report(fd, generation(fd), EventMask(read | write << 1), false);
  }
  return 0;
}

void SelectSelector::do_close() noexcept { highest_ = -1; }

}  // namespace heddle
