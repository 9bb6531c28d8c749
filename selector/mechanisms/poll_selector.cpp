// PollSelector: readiness from poll(2), or ppoll(2) for times that are no whole milliseconds.
// SPDX-License-Identifier: MIT
#include "poll_selector.hpp"

#include <poll.h>

#include <cerrno>
#include <ctime>
#include <utility>

#include "last_error.hpp"
#include "poll_events.hpp"

namespace heddle {

using namespace detail;
namespace {

int wait(pollfd* polled, std::size_t count, Timeout timeout) noexcept {
#if !defined(__APPLE__)
  const auto ns = timeout.duration().count();
  if (!timeout.forever() && ns > 0 && ns % 1'000'000 != 0) {
    const timespec exactly{static_cast<std::time_t>(ns / 1'000'000'000),
                           static_cast<long>(ns % 1'000'000'000)};
    return ::ppoll(polled, static_cast<nfds_t>(count), &exactly, nullptr);
  }
#endif
  return ::poll(polled, static_cast<nfds_t>(count), timeout.milliseconds());
}

}  // namespace

PollSelector::PollSelector() noexcept : BaseSelector("poll", "poll") {}

PollSelector::PollSelector(PollSelector&& other) noexcept
    : BaseSelector(std::move(other)),
      polled_(std::move(other.polled_)),
      places_(std::move(other.places_)),
      count_(std::exchange(other.count_, 0)) {}

PollSelector::~PollSelector() { close(); }

int PollSelector::do_register(const SelectorKey& key, std::uint32_t, Trigger) {
  const auto fd = static_cast<std::size_t>(key.fd);
  reserve_slot(key.fd);
  places_.reserve(fd + 1);
  polled_.reserve(count_ + 1);
  places_[fd] = static_cast<std::uint32_t>(count_);
  polled_[count_++] = {key.fd, to_poll(key.events), 0};
  return 0;
}

int PollSelector::do_modify(const SelectorKey& key, EventMask, std::uint32_t, Trigger) {
  polled_[places_[static_cast<std::size_t>(key.fd)]].events = to_poll(key.events);
  return 0;
}

void PollSelector::do_unregister(const SelectorKey& key, std::uint32_t) noexcept {
  const std::uint32_t place = places_[static_cast<std::size_t>(key.fd)];
  polled_[place] = polled_[--count_];
  places_[static_cast<std::size_t>(polled_[place].fd)] = place;
}

int PollSelector::do_wait(Timeout timeout) {
  int left = wait(polled_.data(), count_, timeout);
  if (left < 0) return last_error();
  for (const pollfd* polled = polled_.data(); left > 0; ++polled) {
    if (polled->revents == 0) continue;
    --left;
    report(polled->fd, generation(polled->fd), from_poll(polled->revents), is_hangup(polled->revents));
  }
  return 0;
}

void PollSelector::do_close() noexcept { count_ = 0; }

}  // namespace heddle
