// DevpollSelector: readiness from /dev/poll. Changes are written to the device, waits are an ioctl.
// SPDX-License-Identifier: MIT
#include "devpoll_selector.hpp"

#if defined(HEDDLE_HAVE_DEVPOLL)

#include <fcntl.h>
#include <poll.h>
#include <sys/devpoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "last_error.hpp"
#include "poll_events.hpp"

namespace heddle {

using namespace detail;

DevpollSelector::DevpollSelector() : BaseSelector("write to /dev/poll", "ioctl DP_POLL") {
  ready_.reserve(1);
  device_ = ::open("/dev/poll", O_RDWR | O_CLOEXEC);
  if (device_ < 0) throw_errno(last_error(), "open /dev/poll", -1);
}

DevpollSelector::DevpollSelector(DevpollSelector&& other) noexcept
    : BaseSelector(std::move(other)),
      device_(std::exchange(other.device_, -1)),
      ready_(std::move(other.ready_)) {}

DevpollSelector::~DevpollSelector() { close(); }

int DevpollSelector::fileno() const {
  if (closed()) throw SelectorClosed("devpoll selector is closed");
  return device_;
}

int DevpollSelector::write_changes(const pollfd* changes, std::size_t count) noexcept {
  const std::size_t size = count * sizeof(pollfd);
  for (;;) {
    const ssize_t written = ::write(device_, changes, size);
    if (written == static_cast<ssize_t>(size)) return 0;
    if (written >= 0) return EIO;
    if (errno != EINTR) return last_error();
  }
}

int DevpollSelector::do_register(const SelectorKey& key, std::uint32_t, Trigger) {
  reserve_slot(key.fd);
  ready_.reserve(size() + 1);
  const pollfd change{key.fd, to_poll(key.events), 0};
  const int error = write_changes(&change, 1);
  if (error != 0) remove(key.fd);
  return error;
}

int DevpollSelector::do_modify(const SelectorKey& key, EventMask, std::uint32_t, Trigger) {
  // The device adds the events of a second write to those of the first, so the old ones are removed first.
  const pollfd changes[] = {{key.fd, POLLREMOVE, 0}, {key.fd, to_poll(key.events), 0}};
  const int error = write_changes(changes, 2);
  if (error != 0) remove(key.fd);
  return error;
}

void DevpollSelector::do_unregister(const SelectorKey& key, std::uint32_t) noexcept { remove(key.fd); }

void DevpollSelector::remove(int fd) noexcept {
  const pollfd change{fd, POLLREMOVE, 0};
  write_changes(&change, 1);
}

int DevpollSelector::do_wait(Timeout timeout) {
  dvpoll request{};
  request.dp_fds = ready_.data();
  request.dp_nfds = static_cast<decltype(request.dp_nfds)>(ready_.capacity());
  request.dp_timeout = timeout.milliseconds();
  const int count = ::ioctl(device_, DP_POLL, &request);
  if (count < 0) return last_error();
  for (int i = 0; i < count; ++i) {
    const pollfd& ready = ready_[static_cast<std::size_t>(i)];
    if (find(ready.fd) == nullptr) {
      remove(ready.fd);  // which has failed when it was unregistered
      continue;
    }
    report(ready.fd, generation(ready.fd), from_poll(ready.revents), is_hangup(ready.revents));
  }
  return 0;
}

void DevpollSelector::do_close() noexcept {
  if (device_ >= 0) ::close(std::exchange(device_, -1));
}

}  // namespace heddle

#endif
