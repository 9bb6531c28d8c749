// A loop inside another one: fileno, run_once, next_deadline.
// SPDX-License-Identifier: MIT
#include <poll.h>

#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

bool is_readable(int fd, int milliseconds = 0) {
  pollfd entry{fd, POLLIN, 0};
  return ::poll(&entry, 1, milliseconds) == 1;
}

// What whoever embeds the loop does; false after ten seconds without an end.
template <class Done>
bool drive(EventLoop& loop, Done done) {
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (!done()) {
    if (std::chrono::steady_clock::now() > until) return false;
    int milliseconds = 1000;
    if (const auto deadline = loop.next_deadline()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - loop.time()).count();
      milliseconds = static_cast<int>(std::clamp<long long>(left, 0, 1000));
    }
    is_readable(loop.fileno(), milliseconds);
    loop.run_once(Duration(0));
  }
  return true;
}

}  // namespace

ON_SELECTORS("a loop lives inside a poll of somebody else's, with timers, descriptors and other threads") {
  EventLoop loop(loop_options(selector));
  if (loop.selector().descriptor() < 0) {
    CHECK(thrown<std::logic_error>([&] { loop.fileno(); }) ==
          "the selector " + std::string(selector) + " has no descriptor that another loop could wait for");
    return;
  }
  Pair pair = Pair::sockets();
  std::string log;
  auto main = [&]() -> Task<void> {
    co_await sleep(5ms);
    log += "slept ";
    co_await readable(pair.a.fileno());
    log += "read ";
  };
  bool posted = false;
  JoinHandle<void> task;
  loop.call_soon([&] { task = spawn(main()); });
  CHECK(drive(loop, [&] { return log == "slept "; }));
  loop.run_once(Duration(0));
  CHECK(!is_readable(loop.fileno()));
  CHECK(!loop.next_deadline());
  CHECK(::write(pair.b.fileno(), "x", 1) == 1);
  CHECK(is_readable(loop.fileno(), 5000));
  CHECK(drive(loop, [&] { return task.done(); }));
  CHECK(log == "slept read ");

  // Nobody looks between here and the post: only the descriptor can tell.
  std::thread thread([&] { loop.call_soon_threadsafe([&] { posted = true; }); });
  CHECK(is_readable(loop.fileno(), 5000));
  thread.join();
  CHECK(drive(loop, [&] { return posted; }));
}

TEST_CASE("a loop that is closed has no descriptor") {
  EventLoop loop;
  loop.close();
  CHECK(thrown<std::logic_error>([&] { loop.fileno(); }) == "fileno() of an event loop that is closed");
}

ON_SELECTORS("a loop that has not attended to all descriptors that are ready wants to be run again at once") {
  EventLoop loop(loop_options(selector));
  std::vector<Pair> pairs;
  std::size_t served = 0;
  const auto serve = [&](int fd) -> Task<void> {
    co_await readable(fd);
    ++served;
  };
  for (int i = 0; i < 100; ++i) pairs.push_back(Pair::sockets());
  loop.call_soon([&] {
    for (Pair& pair : pairs) spawn(serve(pair.a.fileno()));
  });
  while (loop.next_deadline()) loop.run_once(Duration(0));
  for (Pair& pair : pairs) pair.b.write("x");
  do loop.run_once(Duration(0));
  while (loop.next_deadline());
  CHECK(served == pairs.size());
}
