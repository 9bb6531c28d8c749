// A selector whose descriptor somebody else has closed says so; and what can't be purged doesn't make it
// spin.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <string>
#include <system_error>

#include "../../../selector/mechanisms/epoll_selector.hpp"
#include "../../../selector/mechanisms/uring_selector.hpp"
#include "../contract.hpp"
#include "kernel_faults.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// The devpoll double doesn't look at its device.
bool has_kernel_object(const Subject& subject, const BaseSelector& selector) {
  return subject.kind != "devpoll" && selector.capabilities().has(Capability::FILENO);
}

int code_of_select(BaseSelector& selector, Timeout timeout) {
  try {
    selector.select(timeout);
  } catch (const std::system_error& error) {
    CHECK(std::string(error.what()).find(" on fd ") != std::string::npos);
    return error.code().value();
  }
  return 0;
}

}  // namespace

CONTRACT("a selector whose own descriptor was closed throws EBADF from each wait") {
  if (!has_kernel_object(subject, selector)) return;
  const Pair pair = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  selector.select(0s);
  ::close(selector.descriptor());
  CHECK(code_of_select(selector, 0s) == EBADF);
  CHECK(code_of_select(selector, 1'500us) == EBADF);
  CHECK(code_of_select(selector, {}) == EBADF);
  selector.unregister(pair.a);
}

CONTRACT("a selector whose number belongs to another file throws, and doesn't close that file") {
  if (!subject.real || !has_kernel_object(subject, selector)) return;
  const Pair pair = Pair::sockets();
  File other = Pair::pipe().a;
  selector.register_(pair.a, EVENT_READ);
  selector.select(0s);
  const int number = selector.descriptor();
  must(::dup3(other.fileno(), number, O_CLOEXEC));
  CHECK(code_of_select(selector, {}) != 0);
  CHECK(code_of_select(selector, 0s) != 0);
  selector.close();
  CHECK(::fcntl(number, F_GETFD) >= 0);
  ::close(number);
}

TEST_CASE("epoll events that can't be purged for want of descriptors don't end or hold up a wait") {
  EpollSelector selector;
  Pair pair = Pair::sockets();
  Pair good = Pair::sockets();
  selector.register_(pair.a, EVENT_READ);
  selector.register_(good.a, EVENT_READ);
  const File keeps_it_open(::dup(pair.a.fileno()));
  const int number = pair.a.fileno();
  pair.a.close();
  selector.unregister(number);
  pair.b.write("x");  // a stray event, from now on
  for (const int error : {EMFILE, ENFILE, ENOMEM}) {
    const KernelFault fault("epoll_create1", error, 0, KernelFault::always);
    CHECK(selector.select(0s).empty());
    const auto start = Clock::now();
    CHECK(selector.select(5ms).empty());
    CHECK(Clock::now() - start >= 5ms);
    CHECK(fault.made() < 20);
    good.b.write("x");
    CHECK(soon(selector, good.a.fileno()) == EVENT_READ);
    good.a.read();
    selector.wait_raw(Duration(0), 8);
    selector.purge();
  }
  {
    const KernelFault fault("dup3", EBUSY, 0);
    CHECK(selector.select(0s).empty());
  }
  CHECK(selector.select(0s).empty());
  CHECK(selector.wait_raw(Duration(0), 8).empty());  // it is purged by now
}

TEST_CASE("an edge of what wasn't asked for is no stray event") {
  EpollSelector selector;
  const Pair pair = Pair::sockets();
  pair.a.fill();
  selector.register_(pair.a, EVENT_WRITE, {}, Trigger::EDGE);
  ::shutdown(pair.b.fileno(), SHUT_WR);
  const KernelFault count("epoll_create1", EMFILE, 0, KernelFault::always);
  CHECK(selector.select(0s).empty());
  CHECK(selector.select(2ms).empty());
  CHECK(count.made() == 0);
}

namespace {

/// Has a stray event at each look, which no purge removes.
class Haunted final : public BaseSelector {
 public:
  Haunted() : BaseSelector("haunt", "haunt") {}
  ~Haunted() override { close(); }
  [[nodiscard]] const char* name() const noexcept override { return "haunted"; }
  [[nodiscard]] Capabilities capabilities() const noexcept override { return {}; }
  int ready = -1;
  int waits = 0;
  int purge_error = 0;

 private:
  int do_register(const SelectorKey&, std::uint32_t, Trigger) override { return 0; }
  int do_modify(const SelectorKey&, EventMask, std::uint32_t, Trigger) override { return 0; }
  void do_unregister(const SelectorKey&, std::uint32_t) noexcept override {}
  int do_wait(Timeout) override {
    ++waits;
    report(1'000, 7, EVENT_READ, false);
    if (ready >= 0) report(ready, generation(ready), EVENT_READ, false);
    return 0;
  }
  int do_purge() override { return purge_error; }
  void do_close() noexcept override {}
};

}  // namespace

TEST_CASE("a stray event that no purge removes makes no wait spin, and hides nothing") {
  Haunted selector;
  for (const int error : {0, EMFILE}) {
    selector.purge_error = error;
    selector.ready = -1;
    selector.waits = 0;
    CHECK(selector.select(0s).empty());
    CHECK(selector.waits <= 5);
    selector.waits = 0;
    const auto start = Clock::now();
    CHECK(selector.select(20ms).empty());
    CHECK(Clock::now() - start >= 20ms);
    CHECK(selector.waits <= 30);
    selector.register_(7, EVENT_READ);
    selector.ready = 7;
    CHECK(selector.select().size() == 1);
    CHECK(selector.select(0s).size() == 1);
    selector.unregister(7);
  }
  selector.ready = -1;
  selector.purge_error = EBADF;
  CHECK_THROWS_AS(selector.select(0s), std::system_error);
}

TEST_CASE("asking io_uring for its number doesn't end its batches, and watching it can end") {
  std::unique_ptr<UringSelector> selector;
  try {
    selector = std::make_unique<UringSelector>();
  } catch (const std::system_error&) {
    return;
  }
  const Pair pair = Pair::sockets();
  const auto submissions_of_a_registration = [&] {
    const KernelFault count("io_uring_submit", 0, KernelFault::always);
    selector->register_(pair.a, EVENT_READ);
    const int made = count.made();
    selector->unregister(pair.a);
    return made;
  };
  CHECK(selector->descriptor() >= 0);
  CHECK(submissions_of_a_registration() == 0);
  CHECK(selector->fileno() == selector->descriptor());
  CHECK(submissions_of_a_registration() == 1);
  selector->set_nested(false);
  CHECK(submissions_of_a_registration() == 0);
}
