// Names that hang: whom they hold up, and whom not.
// SPDX-License-Identifier: MIT
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "../../../io/address/resolver.hpp"
#include "../../../io/file/file.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

// Never destroyed: threads may still be at them when the process ends.
auto& mutex = *new std::mutex;
auto& changed = *new std::condition_variable;
auto& names = *new std::set<std::string, std::less<>>;
bool hang = false;
int begun = 0;  // calls: one name may take two
int ended = 0;

Task<void> look_up(std::string name) try {
  co_await resolve(std::move(name), 80);
} catch (const ResolveError&) {
}

}  // namespace

// What stands for getaddrinfo(3) in this program (server_faults_test.cpp) calls this first.
void hang_if_told(std::string_view name);
void hang_if_told(std::string_view name) {
  if (!name.starts_with("hangs")) return;
  std::unique_lock lock(mutex);
  ++begun;
  names.emplace(name);
  changed.notify_all();
  changed.wait(lock, [] { return !hang; });
  ++ended;
  changed.notify_all();
}

TEST_CASE("names that hang hold up no file, and those that wait for a thread can be cancelled") {
  const auto set_hang = [](bool value) {
    const std::lock_guard lock(mutex);
    hang = value;
    changed.notify_all();
  };
  const auto begun_now = [] {
    const std::lock_guard lock(mutex);
    return begun;
  };
  set_hang(true);
  bool cancelled = false;
  std::string bytes;
  run_here([&]() -> Task<void> {
    auto everything = [&](TaskGroup& group) -> Task<void> {
      for (int i = 0; i < 60; ++i) group.spawn(look_up("hangs" + std::to_string(i) + ".invalid"));
      while (begun_now() < 32) co_await sleep(1ms);
      bytes = co_await timeout(20s, read_file("/proc/self/comm"));
      group.cancel();
    };
    co_await task_group(everything);
    cancelled = true;
  });
  CHECK(cancelled);
  CHECK_FALSE(bytes.empty());
  set_hang(false);
  std::unique_lock lock(mutex);
  changed.wait(lock, [] { return ended == begun; });
  CHECK(names.size() == 32);
}
