// Uses all of heddle: an echo across TCP, and whatever README.md puts beside its Python counterpart.
// SPDX-License-Identifier: MIT
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <heddle/heddle.hpp>

using namespace std::chrono_literals;

static void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "whole: not true: %s\n", what);
  std::exit(1);
}

static heddle::Task<int> one() { co_return 1; }
static heddle::Task<int> two() {
  co_await heddle::sleep(1ms);
  co_return 2;
}
static heddle::Task<void> for_ever() { co_await heddle::sleep(1h); }
static heddle::Task<void> fails() {
  co_await heddle::yield();
  throw heddle::KeyError("thrown by the user");
}

static heddle::Task<void> echo(heddle::TcpStream client) {
  std::array<std::byte, 1024> buffer;
  while (const std::size_t size = co_await client.read_some(buffer))
    co_await client.write_all(std::span(buffer).first(size));
}

static heddle::Task<void> serve_one(heddle::TcpListener& listener) {
  co_await echo(co_await listener.accept());
}

static heddle::Task<void> tcp() {
  auto listener = heddle::TcpListener::bind(heddle::Address("127.0.0.1", 0));
  auto server = heddle::spawn(serve_one(listener));
  auto stream = co_await heddle::TcpStream::connect(listener.local_address());
  co_await stream.write_all("hello");
  std::array<char, 5> answer;
  for (std::size_t got = 0; got < answer.size();)
    got += co_await stream.read_some(std::span(answer).subspan(got));
  check(std::memcmp(answer.data(), "hello", 5) == 0, "the echo");
  stream.shutdown(heddle::Shutdown::WRITE);
  const std::size_t rest = co_await stream.read_some(answer);
  check(rest == 0, "the end");
  co_await server;
}

static heddle::Task<void> as_in_asyncio() {
  auto task = heddle::spawn(two());
  const int result = co_await task;
  check(result == 2, "spawn");
  const auto [a, b] = co_await heddle::gather(one(), two());
  check(a == 1 && b == 2, "gather");
  bool late = false;
  try {
    co_await heddle::timeout(1ms, for_ever());
  } catch (const heddle::TimeoutError&) {
    late = true;
  }
  check(late, "timeout");
  auto doomed = heddle::spawn(for_ever());
  co_await heddle::yield();
  doomed.cancel();
  bool cancelled = false;
  try {
    co_await doomed;
  } catch (const heddle::Cancelled&) {
    cancelled = true;
  }
  check(cancelled, "cancel");
  bool failed = false;
  try {
    co_await fails();
  } catch (const heddle::KeyError&) {
    failed = true;
  }
  check(failed, "an exception through two coroutines");
  const int elsewhere = co_await heddle::to_thread([] { return 3; });
  check(elsewhere == 3, "to_thread");
  int joined = 0;
  auto body = [&joined](heddle::TaskGroup& group) -> heddle::Task<void> {
    auto first = group.spawn(two());
    auto second = group.spawn(one());
    joined = co_await first + co_await second;
  };
  co_await heddle::task_group(body);
  check(joined == 3, "task_group");
}

// As many as would overflow the stack, if the library's users were compiled without what symmetric transfer
// needs.
static heddle::Task<void> a_million_awaits() {
  int sum = 0;
  for (int i = 0; i < 1'000'000; i++) sum += co_await one();
  check(sum == 1'000'000, "a million awaits");
}

static heddle::Task<void> all() {
  co_await tcp();
  co_await as_in_asyncio();
  co_await a_million_awaits();
}

int main() {
  heddle::run(all());
  std::puts("echoed through heddle");
}
