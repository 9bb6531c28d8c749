// Channel: items between loops and threads.
// SPDX-License-Identifier: MIT
#include "../../../runtime/threads/channel.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/run.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

Task<void> send_each(Channel<int> channel, std::vector<int> items) {
  for (const int item : items) co_await channel.send(item);
}

Task<std::vector<int>> receive_all(Channel<int> channel) {
  std::vector<int> items;
  while (auto item = co_await channel.receive()) items.push_back(*item);
  co_return items;
}

}  // namespace

ON_SELECTORS("a channel carries items between tasks, at any capacity, in order") {
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{1}, std::size_t{3}, Channel<int>::unlimited})
    run_on(selector, [&]() -> Task<void> {
      Channel<int> channel(capacity);
      auto receiving = spawn(receive_all(channel));
      std::vector<int> sent;
      for (int i = 0; i < 500; ++i) sent.push_back(i);
      co_await send_each(channel, sent);
      channel.close();
      const std::vector<int> received = co_await receiving;
      CHECK(received == sent);
    });
}

ON_SELECTORS("a channel carries items between loops on two threads") {
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{1}, std::size_t{64}}) {
    Channel<int> there(capacity);
    Channel<int> back(capacity);
    std::thread other([&] {
      run_on(selector, [&]() -> Task<void> {
        while (auto item = co_await there.receive()) co_await back.send(2 * *item);
        back.close();
      });
    });
    run_on(selector, [&]() -> Task<void> {
      auto receiving = spawn(receive_all(back));
      std::vector<int> sent;
      for (int i = 0; i < 1000; ++i) sent.push_back(i);
      co_await send_each(there, sent);
      there.close();
      const std::vector<int> received = co_await receiving;
      REQUIRE(received.size() == 1000);
      for (int i = 0; i < 1000; ++i) CHECK(received[static_cast<std::size_t>(i)] == 2 * i);
    });
    other.join();
  }
}

TEST_CASE("many senders and receivers, on loops and plain threads, lose and double nothing") {
  constexpr int each = 2000;
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{1}, std::size_t{7}}) {
    Channel<int> channel(capacity);
    std::atomic<long> sum = 0;
    std::atomic<int> count = 0;
    std::vector<std::thread> senders;
    std::vector<std::thread> receivers;
    for (int s = 0; s < 2; ++s) {
      senders.emplace_back([&, s] {
        for (int i = 0; i < each; ++i) channel.blocking_send(s * each + i);
      });
      senders.emplace_back([&, s] {
        run_here([&]() -> Task<void> {
          for (int i = 0; i < each; ++i) co_await channel.send((2 + s) * each + i);
        });
      });
      receivers.emplace_back([&] {
        while (auto item = channel.blocking_receive()) sum += *item, ++count;
      });
      receivers.emplace_back([&] {
        run_here([&]() -> Task<void> {
          auto receives = [&]() -> Task<void> {
            while (auto item = co_await channel.receive()) sum += *item, ++count;
          };
          co_await gather(receives(), receives());
        });
      });
    }
    for (std::thread& sender : senders) sender.join();
    channel.close();
    for (std::thread& receiver : receivers) receiver.join();
    CHECK(count == 4 * each);
    CHECK(sum == 4L * each * (4L * each - 1) / 2);
  }
}

TEST_CASE("what only moves goes through a channel") {
  run_here([]() -> Task<void> {
    Channel<std::unique_ptr<std::string>> channel(1);
    auto moved = std::make_unique<std::string>("moved");
    co_await channel.send(std::move(moved));
    auto item = co_await channel.receive();
    CHECK(**item == "moved");
  });
}

TEST_CASE("trying doesn't wait, and leaves an item that doesn't fit where it is") {
  Channel<std::unique_ptr<int>> channel(1);
  CHECK_FALSE(channel.try_receive());
  CHECK(channel.try_send(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  CHECK_FALSE(channel.try_send(second));
  REQUIRE(second);
  CHECK(channel.size() == 1);
  CHECK(**channel.try_receive() == 1);
  CHECK(channel.size() == 0);
  Channel<int> meeting(0);
  CHECK_FALSE(meeting.try_send(1));
}

TEST_CASE("a closed channel yields what is left and takes no more") {
  run_here([]() -> Task<void> {
    Channel<int> channel(2);
    co_await channel.send(1);
    co_await channel.send(2);
    auto waiting = spawn(send_each(channel, {3}));
    co_await yield();
    CHECK_FALSE(channel.closed());
    channel.close();
    channel.close();
    CHECK(channel.closed());
    bool refused = false;
    try {
      co_await waiting;
    } catch (const ChannelClosed&) {
      refused = true;
    }
    CHECK(refused);
    CHECK_THROWS_AS(channel.try_send(4), ChannelClosed);
    const std::vector<int> left = co_await receive_all(channel);
    CHECK(left == std::vector<int>{1, 2});
    CHECK_FALSE(channel.try_receive());
  });
}

TEST_CASE("closing wakes all who wait to receive, here and elsewhere") {
  Channel<int> channel(1);
  std::atomic<int> waiting = 0;
  std::atomic<int> got_nothing = 0;
  std::thread blocked([&] {
    ++waiting;
    got_nothing += !channel.blocking_receive();
  });
  std::thread other([&] {
    run_here([&]() -> Task<void> {
      ++waiting;
      const auto none = co_await channel.receive();
      got_nothing += !none;
    });
  });
  while (waiting < 2) std::this_thread::sleep_for(1ms);
  channel.close();
  blocked.join();
  other.join();
  CHECK(got_nothing == 2);
}

TEST_CASE("of those who wait the first is served, and who is cancelled is passed over") {
  run_here([]() -> Task<void> {
    Channel<int> channel(0);
    std::vector<std::string> log;
    auto receives = [](Channel<int> from, char name, std::vector<std::string>& out) -> Task<void> {
      const auto item = co_await from.receive();
      out.push_back(name + std::to_string(*item));
    };
    auto a = spawn(receives(channel, 'a', log));
    auto b = spawn(receives(channel, 'b', log));
    auto c = spawn(receives(channel, 'c', log));
    co_await yield();
    b.cancel();
    const std::vector<int> items{1, 2};
    co_await send_each(channel, items);
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, a, b, c);
    CHECK(log == std::vector<std::string>{"a1", "c2"});

    Channel<int> narrow(1);
    co_await narrow.send(0);
    auto first = spawn(send_each(narrow, {1}));
    auto second = spawn(send_each(narrow, {2}));
    auto third = spawn(send_each(narrow, {3}));
    co_await yield();
    second.cancel();
    co_await yield();
    std::vector<int> got;
    for (int i = 0; i < 3; ++i) got.push_back(*co_await narrow.receive());
    CHECK(got == std::vector<int>{0, 1, 3});
    CHECK(narrow.size() == 0);
  });
}

TEST_CASE("an item that was handed over is delivered to a receiver that is cancelled then") {
  run_here([]() -> Task<void> {
    Channel<int> channel(0);
    int got = 0;
    bool went_on = false;
    auto receives = [&]() -> Task<void> {
      got = *co_await channel.receive();
      co_await yield();
      went_on = true;
    };
    auto receiving = spawn(receives());
    co_await yield();
    CHECK(channel.try_send(5));
    receiving.cancel();
    co_await wait(ReturnWhen::ALL_COMPLETED, {}, receiving);
    CHECK(got == 5);
    CHECK_FALSE(went_on);
  });
}

ON_SELECTORS("a send that timed out has kept its item, and can be made again") {
  run_on(selector, []() -> Task<void> {
    Channel<std::string> channel(1);
    std::string text = "first";
    co_await channel.send(text);
    text = "second";
    auto sending = channel.send(text);
    bool expired = false;
    try {
      co_await timeout(1ms, sending);
    } catch (const TimeoutError&) {
      expired = true;
    }
    CHECK(expired);
    CHECK(sending.item() == "second");
    const auto first = co_await timeout(1h, channel.receive());
    CHECK(*first == "first");
    co_await sending;
    const auto second = co_await channel.receive();
    CHECK(*second == "second");
    bool refused = false;
    try {
      co_await sending;
    } catch (const std::logic_error&) {
      refused = true;
    }
    CHECK(refused);
  });
}

TEST_CASE("a thread waits no longer than it said, and leaves nothing behind") {
  Channel<int> channel(1);
  CHECK_THROWS_AS(channel.blocking_receive(2ms), TimeoutError);
  channel.blocking_send(1, 0s);
  CHECK_THROWS_AS(channel.blocking_send(2, 2ms), TimeoutError);
  CHECK(channel.blocking_receive(std::nullopt) == 1);
  CHECK_FALSE(channel.try_receive());
}

TEST_CASE("blocking calls are refused on the thread of a loop") {
  run_here([]() -> Task<void> {
    Channel<int> channel(1);
    CHECK(thrown<std::logic_error>([&] { channel.blocking_send(1); }) ==
          "blocking_send() would block the event loop of this thread: co_await send() instead");
    CHECK_THROWS_AS(channel.blocking_receive(), std::logic_error);
    CHECK(channel.size() == 0);
    co_return;
  });
}

TEST_CASE("a channel lives as long as somebody waits at it") {
  run_here([]() -> Task<void> {
    std::optional<Channel<int>> channel(1);
    auto receiving = channel->receive();
    CHECK(channel->try_send(3));
    channel.reset();
    const auto item = co_await receiving;
    CHECK(item == 3);
  });
}

TEST_CASE("a task that could go on for ever gives the others their turn") {
  run_here([]() -> Task<void> {
    Channel<int> channel(1000);
    bool other_ran = false;
    auto other = [](bool& ran) -> Task<void> {
      ran = true;
      co_return;
    };
    spawn(other(other_ran));
    for (int i = 0; i < 300; ++i) co_await channel.send(i);
    CHECK(other_ran);
    other_ran = false;
    spawn(other(other_ran));
    for (int i = 0; i < 300; ++i) {
      const auto item = co_await channel.receive();
      CHECK(item == i);
    }
    CHECK(other_ran);
  });
}

TEST_CASE("whenever sender and receiver are cancelled, each item is somewhere") {
  int received = 0;
  int sent = 0;
  std::optional<Channel<int>> channel;
  const auto scenario = [&]() -> Task<void> {
    received = sent = 0;
    channel.emplace(2);
    auto sends = [&]() -> Task<void> {
      for (; sent < 6; ++sent) co_await channel->send(sent);
      channel->close();
    };
    auto receives = [&]() -> Task<void> {
      while (co_await channel->receive()) ++received;
    };
    co_await gather(sends(), receives());
  };
  const auto check = [&](const DisturbedRun& run) {
    check_usual_end(run);
    if (channel) CHECK(static_cast<int>(channel->size()) == sent - received);
    channel.reset();
  };
  DisturbOptions options;
  options.main_only = true;  // without a receiver the sender would wait for ever, as it should
  CHECK(cancel_everywhere(scenario, check, options).places >= 3);
  const auto broken = std::make_exception_ptr(std::runtime_error("broken"));
  CHECK(throw_everywhere(scenario, broken, check).failed >= 2);
}

TEST_CASE("receivers that are cancelled while another thread sends lose no item") {
  constexpr int items = 3000;
  Channel<int> channel(0);
  std::thread sender([&] {
    for (int i = 0; i < items; ++i) channel.blocking_send(i);
    channel.close();
  });
  run_here([&]() -> Task<void> {
    std::vector<int> got;
    bool more = true;
    auto receives = [&]() -> Task<void> {
      const auto item = co_await channel.receive();
      if (item)
        got.push_back(*item);
      else
        more = false;
    };
    while (more) {
      auto receiving = spawn(receives());
      co_await yield();
      receiving.cancel();
      co_await wait(ReturnWhen::ALL_COMPLETED, {}, receiving);
    }
    REQUIRE(got.size() == items);
    CHECK(std::is_sorted(got.begin(), got.end()));
  });
  sender.join();
}
