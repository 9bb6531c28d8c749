// LateMail against its order: what threads post to a loop that closes is queued in portions.
// SPDX-License-Identifier: MIT
#include "../../../runtime/loop/late_mail.hpp"

#include <deque>
#include <utility>
#include <vector>

#include "../../support/catch.hpp"

using namespace heddle::detail;

namespace {

struct Letter final : Runnable {
  Letter(std::vector<int>& its_log, int its_number) : Runnable(&note), log(its_log), number(its_number) {}
  static void note(Runnable& self) {
    const auto& letter = static_cast<Letter&>(self);
    letter.log.push_back(letter.number);
  }
  std::vector<int>& log;
  int number;
};

void run_all(RunQueue& queue) {
  for (Runnable* next = queue.take(); next != nullptr;) {
    Runnable& step = *next;
    next = step.next;
    step.run(step);
  }
}

}  // namespace

TEST_CASE("late mail is queued 64 at a time, and the next when these have run, in its order") {
  std::vector<int> log;
  std::deque<Letter> letters;
  RunQueue queue;
  LateMail mail;
  const auto post = [&](int count) {
    Runnable* first = nullptr;
    Runnable* last = nullptr;
    for (int i = 0; i < count; ++i) {
      Runnable& letter = letters.emplace_back(log, static_cast<int>(letters.size()));
      letter.next = nullptr;
      (first == nullptr ? first : last->next) = &letter;
      last = &letter;
    }
    mail.add(first);
  };
  mail.queue_some(queue);
  CHECK(queue.empty());
  post(100);
  mail.queue_some(queue);
  mail.queue_some(queue);  // nothing: those have not run
  post(50);
  run_all(queue);
  CHECK(log.size() == 64);
  mail.queue_some(queue);
  run_all(queue);
  CHECK(log.size() == 128);
  post(10);
  mail.queue_all(queue);
  run_all(queue);
  REQUIRE(log.size() == 160);
  for (int i = 0; i < 160; ++i) CHECK(log[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("a queue that takes what another has keeps the order, and the other is empty") {
  for (const auto& [here, there] : {std::pair(0, 0), std::pair(0, 2), std::pair(2, 0), std::pair(2, 3)}) {
    std::vector<int> log;
    std::deque<Letter> letters;
    RunQueue queue;
    RunQueue other;
    for (int i = 0; i < here + there; ++i) (i < here ? queue : other).push(letters.emplace_back(log, i));
    queue.take_all(other);
    CHECK(other.empty());
    other.push(letters.emplace_back(log, -1));
    queue.push(letters.emplace_back(log, here + there));
    run_all(queue);
    REQUIRE(log.size() == static_cast<std::size_t>(here + there + 1));
    for (int i = 0; i <= here + there; ++i) CHECK(log[static_cast<std::size_t>(i)] == i);
  }
}
