// A loop whose selector, or whose wake-up, somebody else has closed: the error comes out, and nothing spins.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <system_error>

#include "../../../runtime/loop/mailbox.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../selector/base_selector.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

template <class Function>
int code_of(Function function) {
  try {
    function();
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  return 0;
}

}  // namespace

ON_SELECTORS("a loop whose selector's descriptor was closed ends its run with that error") {
  if (make_selector(selector)->descriptor() < 0) return;
  bool cancelled = false;
  CHECK(code_of([&] {
          run_on(selector, [&]() -> Task<void> {
            ::close(EventLoop::running().selector().descriptor());
            try {
              co_await sleep(std::nullopt);
            } catch (const Cancelled&) {
              cancelled = true;
            }
            co_await sleep(1ms);  // on poll
          });
        }) == EBADF);
  CHECK(cancelled);
}

ON_SELECTORS("a loop whose selector's number is another file's ends its run, and leaves that file open") {
  if (make_selector(selector)->descriptor() < 0) return;
  const Pair pair = Pair::pipe();
  int number = -1;
  CHECK(code_of([&] {
          run_on(selector, [&]() -> Task<void> {
            number = EventLoop::running().selector().descriptor();
            must(::dup3(pair.a.fileno(), number, O_CLOEXEC));
            co_await sleep(std::nullopt);
          });
        }) != 0);
  CHECK(::fcntl(number, F_GETFD) >= 0);
  ::close(number);
}

ON_SELECTORS("a loop whose wake-up was closed says so once, and goes on without it") {
  // Others don't hear of it: epoll forgets what is closed, and io_uring keeps it open.
  if (selector != "poll" && selector != "select") return;
  EventLoop loop(loop_options(selector));
  loop.run_once(Duration(0));
  ::close(loop.mailbox().descriptor());
  CHECK(code_of([&] { loop.run_once(); }) == EBADF);
  int calls = 0;
  loop.call_later(1ms, [&] { ++calls; });
  const std::uint64_t before = loop.counters().turns;
  while (calls == 0) loop.run_once();
  CHECK(loop.counters().turns - before < 10);
  loop.set_selector("poll");
  loop.call_later(1ms, [&] { ++calls; });
  while (calls == 1) loop.run_once();
  const Pair taken = Pair::pipe();  // the number, as a rule: which the loop is not to use any more
  auto waits = []() -> Task<void> { co_await sleep(std::nullopt); };
  JoinHandle<void> waiting;
  loop.call_soon([&] { waiting = spawn(waits()); });
  loop.run_once(Duration(0));
  loop.call_soon_threadsafe([] {});
  loop.close();
  CHECK(waiting.done());
  CHECK(taken.a.read().empty());
}
