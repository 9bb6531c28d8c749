// More descriptors than FD_SETSIZE, and none of the allocations that a busy loop should not make.
// SPDX-License-Identifier: MIT
#include <sys/eventfd.h>
#include <sys/select.h>

#include <algorithm>
#include <cstdlib>

#include "contract.hpp"

using namespace heddle;
using namespace heddle::test;

CONTRACT("fifteen thousand descriptors are watched, or refused above FD_SETSIZE with nothing touched") {
  // The doubles look at every descriptor in each call, which is too slow for so many.
  const std::size_t many = subject.real ? 15'000 : 1'100;
  if (raise_file_limit() < many + 200) {
    WARN("skipped: the hard limit of open files is below " << many + 200);
    return;
  }
  std::vector<File> files;
  std::size_t refused = 0;
  for (std::size_t i = 0; i < many; ++i) {
    files.emplace_back(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    const int fd = files.back().fileno();
    if (subject.kind == "select" && fd >= FD_SETSIZE) {
      ++refused;
      if (refused % 1000 == 1) {
        CHECK_THROWS_WITH(
            selector.register_(fd, EVENT_READ),
            Catch::Matchers::Contains("fd " + std::to_string(fd)) && Catch::Matchers::Contains("FD_SETSIZE"));
        CHECK_THROWS_AS(selector.register_(fd, EVENT_READ), ValueError);
      }
    } else {
      selector.register_(fd, EVENT_READ, i);
    }
  }
  CHECK(selector.get_map().size() == many - refused);
  CHECK((refused > 0) == (subject.kind == "select"));
  CHECK(selector.select(0s).empty());
  // One of them, at either end; then all.
  const std::uint64_t one = 1;
  const std::string_view ready{reinterpret_cast<const char*>(&one), sizeof one};
  files[0].write(ready);
  files[many - 1].write(ready);
  CHECK(selector.select(1s).size() == (refused > 0 ? 1 : 2));
  for (File& file : files) file.write(ready);
  const ReadyList list = selector.select(1s);
  CHECK(list.size() == many - refused);
  std::vector<bool> seen(many);
  for (const auto& [key, events] : list) seen[key.data.get<std::size_t>()] = true;
  CHECK(static_cast<std::size_t>(std::count(seen.begin(), seen.end(), true)) == many - refused);
  for (const SelectorKey& key : selector.get_map()) selector.unregister(key.fd);
  CHECK(selector.select(0s).empty());
}

// Where a sanitizer has malloc() for itself, its allocations can't be counted this way.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__has_feature)
#define HEDDLE_COUNTS_ALLOCATIONS
#elif defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define HEDDLE_COUNTS_ALLOCATIONS
#endif
#endif

#if defined(HEDDLE_COUNTS_ALLOCATIONS) && defined(__GLIBC__)

static std::size_t allocations = 0;

extern "C" void* __libc_malloc(std::size_t);
extern "C" void* __libc_calloc(std::size_t, std::size_t);
extern "C" void* __libc_realloc(void*, std::size_t);
extern "C" void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
extern "C" void* calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
extern "C" void* realloc(void* block, std::size_t size) {
  ++allocations;
  return __libc_realloc(block, size);
}

CONTRACT("once warm, no call allocates") {
  if (!subject.real) return;  // the doubles do
  std::vector<Pair> pairs;
  for (int i = 0; i < 300; ++i) pairs.push_back(Pair::sockets());
  const auto round = [&] {
    std::size_t ready = 0;
    for (Pair& pair : pairs) selector.register_(pair.a, EVENT_READ, &pair);
    for (Pair& pair : pairs) pair.b.write("x");
    ready += selector.select(1s).size();
    for (Pair& pair : pairs) selector.modify(pair.a, BOTH, &pair);
    ready += selector.select(0s).size();
    ready += selector.select().size();
    char byte;
    for (Pair& pair : pairs) (void)!::read(pair.a.fileno(), &byte, 1);
    for (Pair& pair : pairs) selector.modify(pair.a, EVENT_READ, &pair);
    ready += selector.select(100us).size();
    for (Pair& pair : pairs) selector.unregister(pair.a);
    return ready;
  };
  CHECK(round() == 900);
  const std::size_t before = allocations;
  std::size_t ready = 0;
  for (int i = 0; i < 5; ++i) ready += round();
  const std::size_t after = allocations;
  CHECK(ready == 4500);
  CHECK(after == before);
}

#endif
