// Cancelled as an exception: whoever looks at it finds what C++ says of any that is thrown.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/cancelled.hpp"

#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// Notes that it is destroyed, and how many exceptions are in flight then.
struct Note {
  Note(std::vector<std::string>& its_list, std::string its_name)
      : list(its_list), name(std::move(its_name)) {}
  Note(const Note&) = delete;
  ~Note() { list.push_back(name + " " + std::to_string(std::uncaught_exceptions())); }

  std::vector<std::string>& list;
  std::string name;
};

Task<void> wait_with_notes(int depth, std::vector<std::string>& list) {
  Note first(list, "first of " + std::to_string(depth));
  Note second(list, "second of " + std::to_string(depth));
  if (depth == 0)
    co_await sleep(std::nullopt);
  else
    co_await wait_with_notes(depth - 1, list);
}

// Keeps what it was cancelled with.
Task<void> wait_and_keep(std::exception_ptr& kept) {
  try {
    co_await sleep(std::nullopt);
  } catch (const Cancelled&) {
    CHECK(std::uncaught_exceptions() == 0);
    kept = std::current_exception();
    throw;
  }
}

template <class Function>
bool throws_cancelled(Function function) {
  try {
    function();
  } catch (const std::exception&) {
  } catch (const Cancelled&) {
    return std::uncaught_exceptions() == 0 && std::current_exception() != nullptr;
  }
  return false;
}

}  // namespace

TEST_CASE(
    "a Cancelled that leaves coroutines destroys what they hold, the innermost first, while it is in "
    "flight") {
  run_here([]() -> Task<void> {
    std::vector<std::string> list;
    auto task = spawn(wait_with_notes(1, list));
    co_await yield();
    task.cancel();
    while (!task.done()) co_await yield();
    CHECK(task.cancelled());
    CHECK(list == std::vector<std::string>{"second of 0 1", "first of 0 1", "second of 1 1", "first of 1 1"});
    CHECK(std::uncaught_exceptions() == 0);
    CHECK(std::current_exception() == nullptr);
  });
}

TEST_CASE("a Cancelled that somebody keeps outlives its task, and can be thrown again") {
  run_here([]() -> Task<void> {
    std::exception_ptr first, second;
    for (std::exception_ptr* const kept : {&first, &second}) {
      auto task = spawn(wait_and_keep(*kept));
      co_await yield();
      task.cancel();
      while (!task.done()) co_await yield();
    }
    CHECK(first != nullptr);
    CHECK(first != second);
    for (int i = 0; i < 2; ++i) CHECK(throws_cancelled([&] { std::rethrow_exception(first); }));
    first = nullptr;
    CHECK(throws_cancelled([&] { std::rethrow_exception(second); }));
  });
}

TEST_CASE("a Cancelled can be thrown while another one is handled, or is in flight") {
  struct Thrower {
    ~Thrower() {
      inner = throws_cancelled([] { detail::raise_cancelled(); }) ? 1 : 0;
    }
    int& inner;
  };
  int in_destructor = -1, caught = 0;
  try {
    Thrower thrower{in_destructor};
    detail::raise_cancelled();
  } catch (const Cancelled&) {
    const std::exception_ptr outer = std::current_exception();
    CHECK(throws_cancelled([] { detail::raise_cancelled(); }));
    CHECK(std::current_exception() == outer);
    ++caught;
  }
  CHECK(caught == 1);
  CHECK(in_destructor == 0);  // another was in flight beside it, as std::uncaught_exceptions() says
  CHECK(std::uncaught_exceptions() == 0);
  CHECK(std::current_exception() == nullptr);
}
