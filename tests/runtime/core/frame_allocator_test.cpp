// The recycling frame allocator: a warmed-up loop asks the system for no memory.
// SPDX-License-Identifier: MIT
#include "../../../runtime/core/frame_allocator.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/loop/ready.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../selector/files.hpp"
#include "../../support/allocations.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using namespace std::chrono_literals;

TEST_CASE("a freed block is given out again for the next of its size") {
  if (!allocations_are_counted) return;
  void* const first = allocate_frame(100);
  free_frame(first, 100);
  void* const second = allocate_frame(97);
  CHECK(second == first);
  void* const other = allocate_frame(100);
  CHECK(other != second);
  free_frame(second, 97);
  free_frame(other, 100);
}

TEST_CASE("blocks of every size are aligned, distinct and wholly usable") {
  std::vector<std::pair<unsigned char*, std::size_t>> blocks;
  for (std::size_t size = 1; size < 5000; size += 13) {
    auto* const block = static_cast<unsigned char*>(allocate_frame(size));
    CHECK(reinterpret_cast<std::uintptr_t>(block) % alignof(std::max_align_t) == 0);
    std::memset(block, static_cast<int>(size % 251), size);
    blocks.emplace_back(block, size);
  }
  bool intact = true;
  for (const auto& [block, size] : blocks)
    for (std::size_t i = 0; i < size; ++i) intact = intact && block[i] == size % 251;
  CHECK(intact);
  for (const auto& [block, size] : blocks) free_frame(block, size);
}

TEST_CASE("blocks may be freed on another thread than theirs, which may end before") {
  std::vector<void*> blocks;
  std::thread([&] {
    for (int i = 0; i < 1000; ++i) blocks.push_back(allocate_frame(200));
    free_frame(allocate_frame(200), 200);
  }).join();
  std::thread([&] {
    for (int i = 0; i < 500; ++i) free_frame(blocks[static_cast<std::size_t>(i)], 200);
  }).join();
  for (int i = 500; i < 1000; ++i) free_frame(blocks[static_cast<std::size_t>(i)], 200);
  std::set<void*> again;
  for (int i = 0; i < 1000; ++i) again.insert(allocate_frame(200));
  CHECK(again.size() == 1000);
  for (void* const block : again) free_frame(block, 200);
}

TEST_CASE("a thread's last destructors may still free blocks and ask for some") {
  static constexpr std::size_t count = 1000;
  struct Last {
    void* blocks[count] = {};
    std::size_t* freed = nullptr;
    ~Last() {
      for (void* const block : blocks) {
        free_frame(block, 200);
        void* const another = allocate_frame(300);
        std::memset(another, 1, 300);
        free_frame(another, 300);
        ++*freed;
      }
    }
  };
  std::size_t freed = 0;
  std::thread([&] {
    static thread_local Last last;  // made before the thread's cache, and so destroyed after it
    last.freed = &freed;
    for (void*& block : last.blocks) block = allocate_frame(200);
  }).join();
  CHECK(freed == count);
}

TEST_CASE("small blocks have nothing between them, and what is free goes back to the system") {
  if (!allocations_are_counted) return;
  constexpr std::size_t count = 200'000;
  std::vector<void*> blocks;
  blocks.reserve(count);
  const auto resident = [] {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
      if (word == "RssAnon:") break;
    std::size_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes * 1024;
  };
  const auto fill = [&] {
    for (std::size_t i = 0; i < count; ++i) {
      blocks.push_back(allocate_frame(208));
      std::memset(blocks.back(), 1, 208);
    }
  };
  const std::size_t before = resident();
  for (int round = 0; round < 3; ++round) {
    std::thread(fill).join();
    if (before != 0) CHECK(resident() - before < count * 216 + 8'000'000);
    std::ranges::sort(blocks);
    CHECK(std::ranges::adjacent_find(blocks) == blocks.end());
    // Half of them on another thread, in another order.
    std::thread([&] {
      for (std::size_t i = 0; i < count; i += 2) free_frame(blocks[i], 208);
    }).join();
    for (std::size_t i = count; i > 0; i -= 2) free_frame(blocks[i - 1], 208);
    blocks.clear();
    if (before != 0) CHECK(resident() < before + 20'000'000);
  }
}

TEST_CASE("what a thread keeps for later is bounded") {
  if (!allocations_are_counted) return;
  std::thread([] {
    constexpr int count = 5000;  // 5 MB of 1 KiB blocks
    std::vector<void*> blocks;
    blocks.reserve(count);
    for (int i = 0; i < count; ++i) blocks.push_back(allocate_frame(1024));
    for (void* const block : blocks) free_frame(block, 1024);
    blocks.clear();
    const auto before = allocations();
    for (int i = 0; i < count; ++i) blocks.push_back(allocate_frame(1024));
    CHECK(allocations() - before >= 4000);
    for (void* const block : blocks) free_frame(block, 1024);
  }).join();
}

TEST_CASE("a warmed-up loop allocates nothing for awaits, spawns, joins, sleeps, timeouts and callbacks") {
  if (!allocations_are_counted) return;
  run_here([]() -> Task<void> {
    auto child = [](int n) -> Task<int> {
      co_await yield();
      co_return n;
    };
    auto slow = []() -> Task<void> { co_await sleep(std::nullopt); };
    std::uint64_t before = 0;
    int called = 0;
    for (int i = 0; i < 1000; ++i) {
      if (i == 100) before = allocations();
      co_await child(i);
      auto handle = spawn(child(i));
      co_await handle;
      co_await sleep(1us);
      co_await timeout(1h, child(i));
      auto stopped = spawn(slow());
      co_await yield();
      stopped.cancel();
      co_await yield();
      EventLoop::running().call_soon([&called] { ++called; });
      co_await yield();
    }
    // Cancelled is thrown, and exceptions come from malloc, not from operator new.
    CHECK(allocations() - before == 0);
    CHECK(called == 1000);
  });
}

ON_SELECTORS("a warmed-up loop allocates nothing for waiting on descriptors") {
  if (!allocations_are_counted) return;
  run_on(selector, []() -> Task<void> {
    const Pair pair = Pair::sockets();
    auto echo = [](int fd) -> Task<void> {
      char byte = 0;
      for (;;) {
        co_await readable(fd);
        if (::read(fd, &byte, 1) != 1) co_return;
        co_await writable(fd);
        [[maybe_unused]] const auto n = ::write(fd, &byte, 1);
      }
    };
    auto handle = spawn(echo(pair.b.fileno()));
    std::uint64_t before = 0;
    for (int i = 0; i < 1000; ++i) {
      if (i == 100) before = allocations();
      pair.a.write("x");
      co_await readable(pair.a.fileno());
      char byte = 0;
      const auto n = ::read(pair.a.fileno(), &byte, 1);
      if (n != 1) FAIL("the echo didn't come");
    }
    CHECK(allocations() - before == 0);
    handle.cancel();
  });
}
