// Broadcast: everybody receives everything, or is told what was missed.
// SPDX-License-Identifier: MIT
#include "../../../runtime/sync/broadcast.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../../../runtime/task/join_handle.hpp"
#include "../../../selector/errors.hpp"
#include "../../support/on_selectors.hpp"
#include "../../support/turns.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<std::vector<int>> receive_all(Subscription<int> subscription) {
  std::vector<int> received;
  while (auto item = co_await subscription.receive()) received.push_back(*item);
  co_return received;
}

}  // namespace

ON_SELECTORS("every subscriber receives every item that is sent from then on, until the channel goes") {
  run_on(selector, []() -> Task<void> {
    std::optional<Broadcast<int>> channel(4);
    CHECK(channel->send(0) == 0);  // to nobody
    auto first = spawn(receive_all(channel->subscribe()));
    CHECK(channel->subscribers() == 1);
    CHECK(channel->send(1) == 1);
    auto second = spawn(receive_all(channel->subscribe()));
    co_await turns(2);
    CHECK(channel->send(2) == 2);
    CHECK(channel->send(3) == 2);
    co_await turns(2);
    channel->send(4);
    channel.reset();
    const std::vector<int> to_first = co_await first;
    const std::vector<int> to_second = co_await second;
    CHECK(to_first == std::vector<int>{1, 2, 3, 4});
    CHECK(to_second == std::vector<int>{2, 3, 4});
  });
}

TEST_CASE("a subscriber that lags is told how many items it missed, and receives the rest") {
  run_here([]() -> Task<void> {
    Broadcast<int> channel(3);
    auto slow = channel.subscribe();
    for (int i = 0; i < 5; ++i) channel.send(i);
    std::uint64_t missed = 0;
    try {
      co_await slow.receive();
    } catch (const Lagged& lagged) {
      missed = lagged.missed;
      CHECK(std::string(lagged.what()) == "Subscription.receive(): 2 items were missed");
    }
    CHECK(missed == 2);
    for (int i = 2; i < 5; ++i) {
      const auto item = co_await slow.receive();
      CHECK(item == i);
    }
    CHECK_FALSE(slow.try_receive());
    channel.send(5);
    CHECK(slow.try_receive() == 5);
    for (int i = 0; i < 4; ++i) channel.send(i);
    CHECK_THROWS_AS(slow.try_receive(), Lagged);
  });
}

TEST_CASE("an item is kept no longer than somebody has to receive it") {
  const auto item = std::make_shared<int>(1);
  Broadcast<std::shared_ptr<int>> channel(2);
  auto first = channel.subscribe();
  std::optional<Subscription<std::shared_ptr<int>>> second(channel.subscribe());
  channel.send(item);
  channel.send(item);
  CHECK(item.use_count() == 3);
  CHECK(first.try_receive() == item);
  CHECK(item.use_count() == 3);
  CHECK(second->try_receive() == item);
  CHECK(item.use_count() == 2);
  CHECK(first.try_receive() == item);
  second.reset();
  CHECK(item.use_count() == 1);
  for (int i = 0; i < 5; ++i) channel.send(item);
  CHECK(item.use_count() == 3);  // the others were overwritten
  {
    const auto last = std::move(first);
    CHECK_FALSE(first.valid());
  }
  CHECK(item.use_count() == 1);
  CHECK(channel.subscribers() == 0);
}

TEST_CASE("a closed channel takes no more items, and gives those it has") {
  run_here([]() -> Task<void> {
    Broadcast<int> channel(2);
    auto subscription = channel.subscribe();
    channel.send(1);
    channel.close();
    CHECK(thrown<std::logic_error>([&] { channel.send(2); }) == "Broadcast.send(): the channel is closed");
    CHECK(subscription.closed());
    const auto item = co_await subscription.receive();
    CHECK(item == 1);
    for (int i = 0; i < 2; ++i) {
      const auto none = co_await subscription.receive();
      CHECK_FALSE(none);
    }
    CHECK(thrown<ValueError>([] { Broadcast<int> none(0); }) == "Broadcast: the capacity must be at least 1");
  });
}

TEST_CASE("a receive that is cancelled takes no item, and one that has an item delivers it") {
  run_here([]() -> Task<void> {
    Broadcast<int> channel(2);
    auto subscription = channel.subscribe();
    auto stopped = spawn(end_of(subscription.receive()));
    co_await yield();
    stopped.cancel();
    std::string end = co_await stopped;
    CHECK(end == "cancelled");
    auto delivered = spawn(end_of(subscription.receive()));
    co_await yield();
    channel.send(1);
    delivered.cancel();
    end = co_await delivered;
    CHECK(end == "done");
    channel.send(2);
    const auto item = co_await subscription.receive();
    CHECK(item == 2);
  });
}

TEST_CASE("a subscription is for one task at a time") {
  run_here([]() -> Task<void> {
    Broadcast<int> channel(2);
    auto subscription = channel.subscribe();
    auto waits = spawn(end_of(subscription.receive()));
    co_await yield();
    std::string end = co_await end_of(subscription.receive());
    CHECK(end == "Subscription.receive(): another task waits for it already");
    channel.send(1);
    CHECK_THROWS_AS(subscription.try_receive(), std::logic_error);  // that item is the other's
    co_await waits;
    const auto moved = std::move(subscription);
    end = co_await end_of(subscription.receive());
    CHECK(end == "Subscription.receive(): it was moved from");
  });
}

TEST_CASE("who waits for a subscription that is destroyed or moved is told so") {
  run_here([]() -> Task<void> {
    Broadcast<int> channel(2);
    for (const bool given : {false, true}) {
      std::optional<Subscription<int>> subscription(channel.subscribe());
      auto waits = spawn(end_of(subscription->receive()));
      co_await yield();
      if (given) channel.send(1);
      subscription.reset();
      std::string end = co_await waits;
      CHECK(end == "Subscription.receive(): the Subscription was destroyed");

      auto source = channel.subscribe();
      auto waits_for_source = spawn(end_of(source.receive()));
      co_await yield();
      auto target = std::move(source);
      end = co_await waits_for_source;
      CHECK(end == "Subscription.receive(): the Subscription was destroyed");
      channel.send(3);
      const auto item = co_await target.receive();
      CHECK(item == 3);
    }
  });
}

TEST_CASE("a subscriber that never has to wait lets the others run") {
  run_here([]() -> Task<void> {
    Broadcast<int> channel(1000);
    auto subscription = channel.subscribe();
    for (int i = 0; i < 1000; ++i) channel.send(i);
    auto other = spawn(turns(0));
    int received = 0;
    for (; !other.done() && received < 1000; ++received) {
      const auto item = co_await subscription.receive();
      CHECK(item == received);
    }
    CHECK(received < 200);
    CHECK(received > 1);
  });
}
