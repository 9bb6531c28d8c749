// Uses two copies of heddle, alternately and one inside the other.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "copy.hpp"

extern "C" const Copy* first_copy();
extern "C" const Copy* second_copy();

namespace {

int sum = 0;

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "copies: not true: %s\n", what);
  std::exit(1);
}

struct Inside {
  const Copy& inner;
  const Copy& outer;
  int called = 0;
};

void run_inside(void* argument) {
  auto& inside = *static_cast<Inside*>(argument);
  ++inside.called;
  check(inside.outer.runs() && !inside.inner.runs(), "only the outer copy has a loop here");
  check(inside.inner.run(nullptr, nullptr) == sum, "a loop inside another copy's");
  check(inside.outer.runs() && !inside.inner.runs(), "the inner loop is over");
  inside.inner.destroy(inside.inner.make());
}

void all(const Copy& one, const Copy& other) {
  one.leave_to_thread_end();
  for (int i = 0; i < 3; ++i) {
    check(one.run(nullptr, nullptr) == sum, "a loop of one copy");
    check(other.run(nullptr, nullptr) == sum, "and of the other");
    Inside inside{other, one};
    check(one.run(&run_inside, &inside) == sum && inside.called == 2, "a task that runs the other's loop");

    void* const of_one = one.make();
    void* const of_other = other.make();
    int destroyed = one.destroy(of_one);
    std::thread([&] { destroyed += other.destroy(of_other); }).join();
    check(destroyed == 480, "objects of both, one copy's freed on another thread");
    check(one.across_threads() == 480 && other.across_threads() == 480, "frames of other threads");
  }
  other.leave_to_thread_end();
}

}  // namespace

int main() {
  const Copy& first = *first_copy();
  const Copy& second = *second_copy();
  sum = first.run(nullptr, nullptr);
  all(first, second);
  all(second, first);
  std::thread([&] { all(first, second); }).join();
  std::thread one([&] { all(first, second); });
  std::thread other([&] { all(second, first); });
  one.join();
  other.join();
  std::puts("each by itself");
}
