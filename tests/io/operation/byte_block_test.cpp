// ByteBlock: blocks of any size, which aren't cleared and don't come from the kernel each time.
// SPDX-License-Identifier: MIT
#include "../../../io/operation/byte_block.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "../../../runtime/core/frame_allocator.hpp"
#include "../../support/catch.hpp"

using heddle::detail::ByteBlock;

TEST_CASE("a block has as many bytes as were asked for, and belongs to one owner") {
  for (const std::size_t size :
       {1UL, 4'096UL, 32'767UL, 32'768UL, 32'769UL, 65'536UL, 114'688UL, 262'144UL, 262'145UL, 3'000'000UL}) {
    ByteBlock block(size);
    REQUIRE(block.size() == size);
    CHECK(block.bytes().size() == size);
    CHECK(block.chars().data() == reinterpret_cast<char*>(block.data()));
    std::memset(block.data(), 'x', size);
    ByteBlock other(size);
    std::memset(other.data(), 'y', size);
    CHECK(block.chars().back() == 'x');
    CHECK(block.data() != other.data());
    other = std::move(block);
    CHECK(block.data() == nullptr);
    CHECK(block.size() == 0);
    CHECK(other.chars().front() == 'x');
    block = ByteBlock(std::move(other));
    CHECK(block.chars().back() == 'x');
  }
  CHECK(ByteBlock().bytes().empty());
}

TEST_CASE("a large block that was given back is the next one, as it was left") {
  if (HEDDLE_RECYCLE_FRAMES == 0) return;
  std::byte* last = nullptr;
  for (const std::size_t size : {100'000UL, 70'000UL, 131'072UL}) {  // of one class
    const ByteBlock block(size);
    if (last != nullptr) {
      CHECK(block.data() == last);
      CHECK(block.data()[69'999] == std::byte{7});
    }
    last = block.data();
    std::fill_n(last, 70'000, std::byte{7});
  }
}

TEST_CASE("threads that take and give back blocks at once get each its own") {
  std::atomic<int> wrong = 0;
  const auto work = [&](int number) {
    for (int turn = 0; turn < 2'000; ++turn) {
      std::vector<ByteBlock> blocks;
      for (const std::size_t size : {40'000UL, 200'000UL, 40'000UL}) {
        blocks.emplace_back(size);
        std::memset(blocks.back().data(), number, 64);
        blocks.back().data()[size - 1] = static_cast<std::byte>(number);
      }
      for (const ByteBlock& block : blocks)
        if (block.data()[0] != static_cast<std::byte>(number) ||
            block.bytes().back() != static_cast<std::byte>(number))
          ++wrong;
    }
  };
  std::vector<std::thread> threads;
  for (int number = 1; number <= 4; ++number) threads.emplace_back(work, number);
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}
