// Dumps of many tasks, and of long chains of them: how long the text is, and how it is written.
// SPDX-License-Identifier: MIT
#include "../../../runtime/seeing/dump.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <string_view>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// Each spawns the next one.
Task<void> chain(int left, int* running) {
  ++*running;
  if (left > 1) spawn(chain(left - 1, running));
  co_await sleep(std::nullopt);
}

// What a dump of a chain of so many tasks is.
template <class Dump>
void with_chain(int length, Dump dump) {
  run_here([&]() -> Task<void> {
    int running = 0;
    spawn(chain(length, &running));
    while (running < length) co_await yield();
    co_await yield();
    dump();
  });
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Pieces {
  std::string text;
  std::size_t count = 0;
  std::size_t longest = 0;
  bool whole_lines = true;

  static void take(void* to, std::string_view lines) {
    auto& self = *static_cast<Pieces*>(to);
    self.text += lines;
    ++self.count;
    self.longest = std::max(self.longest, lines.size());
    self.whole_lines = self.whole_lines && lines.ends_with('\n');
  }
};

}  // namespace

TEST_CASE("a dump of a chain of tasks is as long as there are tasks, and says whose each is") {
  std::size_t sizes[2] = {};
  for (const int times : {1, 2}) {
    const int length = 2'000 * times;
    with_chain(length, [&] {
      const std::string dump = dump_tasks();
      sizes[times - 1] = dump.size();
      CHECK(has(dump, "\n  task 2: waits for sleep"));
      CHECK(has(dump, "\n" + std::string(32, ' ') + "task 17: waits for sleep"));
      CHECK(has(dump, "\n" + std::string(32, ' ') + "task 18, of task 17: waits for sleep"));
      CHECK(has(dump, "\n" + std::string(32, ' ') + "task 1000, of task 999: waits for sleep"));
    });
  }
  CHECK(sizes[1] < sizes[0] * 21 / 10);
}

TEST_CASE("a dump of very many tasks is written in pieces of whole lines") {
  // With recursion the stack would overflow; with each line longer than the one before the text would be of
  // tens of gigabytes.
  with_chain(100'000, [] {
    Pieces pieces;
    dump_tasks(EventLoop::running(), &Pieces::take, &pieces);
    CHECK(has(pieces.text, "heddle: 100001 tasks, 0 timers, 0 descriptors on "));
    CHECK(has(pieces.text, "task 100001, of task 100000: waits for sleep"));
    CHECK(pieces.count > 100);
    CHECK(pieces.longest < 40'000);
    CHECK(pieces.whole_lines);
  });
}

TEST_CASE("a dump in pieces has the same lines as one in a text, and ends with what its writer throws") {
  with_chain(3, [] {
    Pieces pieces;
    dump_tasks(EventLoop::running(), &Pieces::take, &pieces);
    const auto lines_of = [](const std::string& text) {
      std::size_t lines = 0;
      for (const char each : text) lines += each == '\n';
      return lines;
    };
    CHECK(pieces.count == 1);
    CHECK(lines_of(pieces.text) == lines_of(dump_tasks()));
    const auto refuse = [](void*, std::string_view) { throw std::runtime_error("no room"); };
    CHECK_THROWS_AS(dump_tasks(EventLoop::running(), refuse, nullptr), std::runtime_error);
  });
}
