// Happy Eyeballs (RFC 8305): several addresses raced, with a head start for each before the next.
// SPDX-License-Identifier: MIT
#include "connect.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "../../runtime/core/scheduler.hpp"
#include "../../runtime/task/task_group.hpp"
#include "../../runtime/task/timeout.hpp"
#include "../address/resolver.hpp"
#include "../operation/socket_operation.hpp"

namespace heddle {

using namespace detail;

namespace {

using Attempts = std::vector<ConnectError::Attempt>;

// "connect to localhost:80: [::1]:80: Connection refused, 127.0.0.1:80". The last attempt's error only if
// `with_last`: otherwise it is the system_error's own, which appends it.
std::string text_of(const std::string& target, const Attempts& attempts, bool with_last) {
  std::string text = "connect to " + target;
  const char* separator = ": ";
  for (const ConnectError::Attempt& attempt : attempts) {
    const std::string address = to_string(attempt.address);
    const bool in_connect = attempt.failure.operation == std::string_view("connect");
    if (address != target) text.append(std::exchange(separator, ", ")).append(address);
    if (!in_connect) text.append(": ").append(attempt.failure.operation);
    if (with_last || &attempt != &attempts.back()) text.append(": ").append(attempt.failure.code().message());
  }
  return text;
}

std::string time_text(Timeout timeout) {
  return ": no answer within " + std::to_string(timeout.milliseconds()) + " ms";
}

// Where nobody listens at a port of this machine, and the kernel picks that very port for the client, TCP's
// simultaneous open connects the socket to itself.
bool is_connected_to_itself(System& system, int fd, std::uint16_t port) noexcept {
  Address own;
  unsigned length = Address::capacity();
  if (system.getsockname(fd, own.data(), &length) < 0) return false;
  own.set_length(std::min(length, Address::capacity()));
  if (own.port() != port) return false;
  Address peer;
  length = Address::capacity();
  if (system.getpeername(fd, peer.data(), &length) < 0) return false;
  peer.set_length(std::min(length, Address::capacity()));
  return own == peer;
}

// Makes a socket and connects it. A Failure with error 0 means success; a system_error is not thrown.
Task<Failure> connect_one(Fd& socket, const Address& address, const ConnectOptions& options) {
  System& system = current_system();
  const int number = system.socket(address.family(), SOCK_STREAM, 0);
  if (number < 0) co_return Failure{-number, "socket", -1};
  socket = Fd(number, system);
  if (options.local.length() != 0) {
    if (options.local.family() != address.family()) co_return Failure{EAFNOSUPPORT, "bind", number};
#ifdef IP_BIND_ADDRESS_NO_PORT
    // The kernel picks the port in connect(2), so that connections to different peers can share one.
    const int on = 1;
    if (options.local.port() == 0)
      system.setsockopt(number, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
#endif
    const int bound = system.bind(number, options.local.data(), options.local.length());
    if (bound < 0) co_return Failure{-bound, "bind", number};
  }
  const Result<void> result = co_await ConnectOperation(socket, address).as_result();
  if (result && is_connected_to_itself(system, number, address.port())) {
    // Reset, so that the port isn't kept from who may be about to listen there.
    const linger at_once{1, 0};
    system.setsockopt(number, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket.close();
    co_return Failure{ECONNREFUSED, "connect", number};
  }
  co_return result.failure();
}

// What the attempts of a race share with the task that starts them.
struct Race {
  class Wait;

  void notify() noexcept;

  const ConnectOptions& options;
  Attempts& failed;
  Fd winner;
  std::size_t running = 0;
  bool changed = false;  // an attempt has ended since the last Wait
  Wait* waiting = nullptr;
};

// Waits until an attempt has ended, or the time until the next one starts has passed.
class Race::Wait final : public Operation, private Timer {
 public:
  Wait(Race& race, Timeout limit) noexcept : Timer(&expire), race_(race), limit_(limit) {}

  bool await_ready() {
    begin();
    return false;
  }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> coroutine) {
    Scheduler& loop = *current.loop;
    if (!race_.changed && !limit_.forever()) loop.timers().add(*this, loop.deadline_after(limit_.duration()));
    suspend(*this, coroutine);
    if (race_.changed)
      wake();
    else
      race_.waiting = this;
  }
  void await_resume() const {
    if (stopped_) throw_cancelled();
    race_.changed = false;
  }

  Stop cancel() noexcept override {
    if (race_.waiting != this) return Stop::TOO_LATE;
    leave();
    stopped_ = true;
    return Stop::STOPPED;
  }
  void end() noexcept {
    leave();
    wake();
  }

 private:
  void leave() noexcept {
    race_.waiting = nullptr;
    task_->owner()->loop().timers().remove(*this);
  }
  static void expire(Timer& timer) noexcept { static_cast<Wait&>(timer).end(); }

  Race& race_;
  Timeout limit_;
  bool stopped_ = false;
};

void Race::notify() noexcept {
  changed = true;
  if (waiting != nullptr) waiting->end();
}

Task<void> run_attempt(Race& race, const Address& address) {
  Fd socket;
  const Failure failure = co_await connect_one(socket, address, race.options);
  if (failure.error != 0)
    race.failed.push_back({address, failure});
  else if (!race.winner.is_open())
    race.winner = std::move(socket);
  --race.running;
  race.notify();
}

// Yields a closed Fd when all attempts have failed.
Task<Fd> run_race(const std::vector<Address>& addresses, const ConnectOptions& options, Attempts& failed) {
  if (addresses.size() == 1) {
    Fd socket;
    const Failure failure = co_await connect_one(socket, addresses.front(), options);
    if (failure.error == 0) co_return socket;
    failed.push_back({addresses.front(), failure});
    co_return Fd();
  }
  Race race{options, failed, Fd()};
  auto body = [&](TaskGroup& group) -> Task<void> {
    auto next = addresses.begin();
    while (!race.winner.is_open()) {
      if (next != addresses.end()) {
        ++race.running;
        group.spawn(run_attempt(race, *next++));
      } else if (race.running == 0) {
        break;
      }
      co_await Race::Wait(race, next != addresses.end() ? options.attempt_delay : Timeout());
    }
    group.cancel();
  };
  co_await task_group(body);
  co_return std::move(race.winner);
}

}  // namespace

ConnectError::ConnectError(const std::string& target, std::vector<Attempt> attempts)
    : std::system_error(attempts.back().failure.code(), text_of(target, attempts, false)),
      attempts_(std::move(attempts)) {}
ConnectError::ConnectError(const std::string& target, std::vector<Attempt> attempts, Timeout timeout)
    : std::system_error(ETIMEDOUT, std::generic_category(),
                        text_of(target, attempts, true) + time_text(timeout)),
      attempts_(std::move(attempts)) {}
ConnectError::ConnectError(const ConnectError&) = default;
ConnectError::~ConnectError() = default;

namespace detail {

std::vector<Address> interleave_families(const std::vector<Address>& addresses) {
  std::vector<Address> first;
  std::vector<Address> second;
  for (const Address& address : addresses)
    (address.family() == addresses.front().family() ? first : second).push_back(address);
  std::vector<Address> mixed;
  mixed.reserve(addresses.size());
  for (std::size_t i = 0; i < first.size() || i < second.size(); ++i) {
    if (i < first.size()) mixed.push_back(first[i]);
    if (i < second.size()) mixed.push_back(second[i]);
  }
  return mixed;
}

Task<Fd> connect_address(Address address, ConnectOptions options) {
  DeadlineScope deadline(options.timeout);
  try {
    Fd socket;
    const Failure failure = co_await connect_one(socket, address, options);
    if (failure.error != 0) throw ConnectError(to_string(address), {{address, failure}});
    co_return socket;
  } catch (const Cancelled&) {
    if (!deadline.is_cause()) throw;
  }
  throw ConnectError(to_string(address), {}, options.timeout);
}

Task<Fd> connect_first(std::vector<Address> addresses, ConnectOptions options) {
  if (addresses.empty()) throw ValueError("connect: there is no address to connect to");
  std::string target = to_string(addresses.front());
  for (std::size_t i = 1; i < addresses.size(); ++i) target.append(", ").append(to_string(addresses[i]));
  if (addresses.size() > 1) target = "one of " + target;
  DeadlineScope deadline(options.timeout);
  Attempts failed;
  try {
    Fd socket = co_await run_race(addresses, options, failed);
    if (!socket.is_open()) throw ConnectError(target, std::move(failed));
    co_return socket;
  } catch (const Cancelled&) {
    if (!deadline.is_cause()) throw;
  }
  throw ConnectError(target, std::move(failed), options.timeout);
}

Task<Fd> connect_host(HostPort target, ConnectOptions options) {
  DeadlineScope deadline(options.timeout);
  Attempts failed;
  try {
    const std::vector<Address> found = co_await resolve(target.host, target.port);
    const std::vector<Address> addresses = interleave_families(found);
    Fd socket = co_await run_race(addresses, options, failed);
    if (!socket.is_open()) throw ConnectError(to_string(target), std::move(failed));
    co_return socket;
  } catch (const Cancelled&) {
    if (!deadline.is_cause()) throw;
  }
  throw ConnectError(to_string(target), std::move(failed), options.timeout);
}

}  // namespace detail

}  // namespace heddle
