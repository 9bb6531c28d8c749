// start_thread: what becomes of the masks of signals, there and here.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/start_thread.hpp"

#include <stdexcept>

#include "../../support/catch.hpp"

using namespace heddle;
using namespace heddle::detail;

namespace {

bool blocks(int signum) {
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, signum) == 1;
}

// What can't be handed to a thread.
struct Uncopyable {
  Uncopyable() = default;
  Uncopyable(const Uncopyable& /*other*/) { throw std::runtime_error("no copy"); }
  void operator()() const {}
};

}  // namespace

TEST_CASE("a thread that start_thread starts takes no signals, and its arguments as std::thread does") {
  bool there = false;
  int sum = 0;
  start_thread(
      [&](int a, int b) {
        there = blocks(SIGINT) && blocks(SIGUSR1) && blocks(SIGALRM);
        sum = a + b;
      },
      3, 4)
      .join();
  CHECK(there);
  CHECK(sum == 7);
}

TEST_CASE("start_thread leaves its caller's mask of signals as it was, also when it throws") {
  sigset_t usr1;
  sigset_t before;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &usr1, &before);
  start_thread([] {}).join();
  CHECK(blocks(SIGUSR1));
  CHECK_FALSE(blocks(SIGUSR2));
  const Uncopyable uncopyable;
  CHECK_THROWS_AS(start_thread(uncopyable), std::runtime_error);
  CHECK(blocks(SIGUSR1));
  CHECK_FALSE(blocks(SIGUSR2));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}
