// Uses the templates that whole.cpp doesn't, each with some type: their bodies are compiled with the
// consumer's warnings.
// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <heddle/heddle.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using heddle::Task;

static void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "instances: not true: %s\n", what);
  std::exit(1);
}

static Task<std::string> text(std::string_view name) {
  co_await heddle::yield();
  co_return std::string(name);
}
static Task<void> nothing() { co_await heddle::sleep(1ms); }

static std::vector<Task<std::string>> texts() {
  std::vector<Task<std::string>> tasks;
  for (const std::string_view each : {"a", "b", "c"}) tasks.push_back(text(each));
  return tasks;
}

static Task<void> several() {
  const auto all = co_await heddle::gather(texts());
  check(all.size() == 3, "gather of many");
  const auto settled = co_await heddle::gather_settled(text("x"), nothing());
  check(std::get<0>(settled).done(), "gather_settled");
  const auto many = co_await heddle::gather_settled(texts());
  check(many.size() == 3, "gather_settled of many");
  const auto first = co_await heddle::race(texts());
  check(first == "a", "race of many");
  const auto either = co_await heddle::race(text("x"), text("y"));
  check(either == "x", "race");
  const auto winner = co_await heddle::when_any(texts());
  check(winner.index == 0, "when_any");
  std::string joined;
  const auto join = [&joined](heddle::AsCompleted<std::string>& results) -> Task<void> {
    while (auto next = co_await results.next()) joined += next.result();
  };
  co_await heddle::as_completed(texts(), join);
  check(joined == "abc", "as_completed");
  auto one = heddle::spawn(text, "late");
  auto other = heddle::spawn(nothing);
  co_await heddle::wait(heddle::ReturnWhen::ALL_COMPLETED, 1s, one, other);
  const auto late = co_await one;
  check(late == "late" && other.done(), "wait");
  co_await heddle::finally(nothing(), nothing());
  auto ticks = heddle::interval(1ms);
  co_await ticks.tick();
}

static Task<void> queues() {
  heddle::PriorityQueue<int> urgent;
  heddle::LifoQueue<std::string> stack(2);
  co_await urgent.put(2);
  co_await urgent.put(1);
  const int least = co_await urgent.get();
  check(least == 1, "a priority queue");
  stack.put_nowait("below");
  stack.put_nowait("above");
  check(stack.get_nowait() == "above", "a stack");
  heddle::Channel<std::uint16_t> channel(2);
  co_await channel.send(7);
  const auto received = co_await channel.receive();
  check(received && *received == 7, "a channel");
  heddle::Promise<std::string> promise;
  auto future = promise.future();
  promise.set_result("kept");
  const std::string kept = co_await future;
  check(kept == "kept", "a future");
  heddle::Broadcast<std::string> news(4);
  auto subscription = news.subscribe();
  news.send("news");
  const auto heard = co_await subscription.receive();
  check(heard && *heard == "news", "a broadcast");
}

static heddle::AsyncGenerator<std::uint8_t> bytes(std::string source) {
  for (const char each : source) {
    co_await heddle::yield();
    co_yield static_cast<std::uint8_t>(each);
  }
}

static heddle::TaskLocal<int> local;

static Task<void> others() {
  auto generator = bytes("ab");
  unsigned sum = 0;
  while (const auto next = co_await generator.next()) sum += *next;
  check(sum == 'a' + 'b', "a generator");
  local.set(3);
  const int* const value = local.get();
  check(value != nullptr && *value == 3, "a local");
  auto& loop = heddle::EventLoop::running();
  int called = 0;
  loop.call_soon([&called](int by) { called += by; }, 2);
  loop.call_later(1ms, [&called] { ++called; });
  co_await heddle::sleep(2ms);
  check(called == 3, "callbacks");
  auto remote = heddle::spawn_threadsafe(loop, text("far"));
  const std::string far = co_await remote;
  check(far == "far", "spawn_threadsafe");
}

static Task<void> upper(heddle::MemoryStream& client) {
  heddle::StreamReader reader(client);
  heddle::StreamWriter writer(client);
  while (const auto line = co_await reader.read_line()) {
    writer.write(*line);
    writer.write("!\n");
    co_await writer.drain();
  }
}

static Task<void> servers() {
  heddle::MemoryListener listener;
  heddle::Server server;
  server.add(listener, upper);
  auto serving = heddle::spawn(server.serve());
  auto client = listener.connect();
  co_await client.write_all("hello\n");
  heddle::StreamReader reader(client);
  const auto answer = co_await reader.read_line();
  check(answer && *answer == "hello!", "a server");
  client.shutdown(heddle::Shutdown::WRITE);
  co_await server.close();
  co_await serving;
}

static Task<void> all() {
  co_await several();
  co_await queues();
  co_await others();
  co_await servers();
}

int main() {
  heddle::run(all());
  heddle::run_on_threads(2, [](std::size_t) -> Task<void> { co_await nothing(); });
  std::puts("every template");
}
