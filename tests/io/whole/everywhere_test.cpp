// A scenario of nearly everything, in which each suspension is cancelled once, fails once, and each
// allocation fails once.
// SPDX-License-Identifier: MIT
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

#include "../../../io/net/tcp.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/lock.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/sync/semaphore.hpp"
#include "../../../runtime/task/as_completed.hpp"
#include "../../../runtime/task/finally.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/race.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../../runtime/threads/to_thread.hpp"
#include "../../../selector/errors.hpp"
#include "../../selector/files.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;
using namespace std::chrono_literals;

namespace {

struct ChildFailed : std::runtime_error {
  ChildFailed() : std::runtime_error("the child that was to fail") {}
};

// What the tasks of one run share, and what has become of it.
struct World {
  static constexpr std::size_t items = 8;

  Queue<std::unique_ptr<std::size_t>> queue{2};
  Lock lock;
  Semaphore permits{2};
  Event talked;
  std::array<bool, items> put{};
  std::array<bool, items> got{};
  int holders = 0;  // of the lock
  int users = 0;    // of permits
  int opened = 0;   // sessions
  int cleaned = 0;  // up after
  bool doubled = false;
  bool crowded = false;
};

// Counts those who are in it.
class Inside {
 public:
  Inside(World& world, int& count, int most) : count_(count) { world.crowded |= ++count > most; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { --count_; }

 private:
  int& count_;
};

Task<void> produce(World& world) {
  for (std::size_t i = 0; i < World::items; ++i) {
    auto put = world.queue.put(std::make_unique<std::size_t>(i));
    co_await put;
    world.put[i] = true;
  }
}

Task<void> work(World& world, std::size_t item) {
  auto permit = co_await world.permits.scoped();
  const Inside user(world, world.users, 2);
  auto guard = co_await world.lock.scoped();
  const Inside holder(world, world.holders, 1);
  co_await sleep(std::chrono::milliseconds(item + 1));
}

Task<void> consume(World& world) {
  for (std::size_t i = 0; i < World::items / 2; ++i) {
    const std::unique_ptr<std::size_t> item = co_await world.queue.get();
    world.doubled |= world.got[*item];
    world.got[*item] = true;
    world.queue.task_done();
    co_await work(world, *item);
  }
}

Task<void> talk(TcpStream& stream, World& world) {
  ++world.opened;
  std::array<char, 64> buffer;
  for (const std::string_view word : {"hello", "how are you", "goodbye"}) {
    co_await stream.write_all(word);
    for (std::size_t size = 0; size < word.size();) {
      const std::size_t more = co_await stream.read_some(std::span(buffer).subspan(size, word.size() - size));
      if (more == 0) throw_errno(ECONNRESET, "recv", stream.fileno());
      size += more;
    }
    co_await sleep(1ms);
  }
  world.talked.set();
}

// Both sides greet, clean up, and then listen for more than the other has to say.
Task<void> session(Fd socket, World& world) {
  TcpStream stream(std::move(socket));
  auto cleanup = [&world]() -> Task<void> {
    ++world.cleaned;
    co_await yield();
  };
  co_await finally(timeout(10s, talk(stream, world)), cleanup);
  std::array<char, 8> more;
  std::size_t size = 0;
  try {
    size = co_await timeout(1ms, stream.read_some(std::span(more)));
  } catch (const TimeoutError&) {
  }
  CHECK(size == 0);
}

// Waits for a session, a timer and a thread, whichever is first, and for the children of its own.
Task<void> watch(World& world) {
  co_await race(world.talked.wait(), timeout(1s, sleep(1h)));
  const int answer = co_await to_thread([] { return 42; });
  CHECK(answer == 42);
  std::vector<Task<void>> tasks;
  for (int i = 3; i > 0; --i)
    tasks.push_back([](int turns) -> Task<void> { co_await sleep(std::chrono::milliseconds(turns)); }(i));
  auto body = [](AsCompleted<void>& results) -> Task<void> {
    while (const JoinHandle<void> handle = co_await results.next())
      if (handle.error()) std::rethrow_exception(handle.error());
  };
  co_await as_completed(std::move(tasks), body);
}

// One child fails while others hold a lock and wait for it.
Task<void> fail_in_a_group(World& world) {
  auto fails = []() -> Task<void> {
    co_await sleep(1ms);
    throw ChildFailed();
  };
  auto waits = [](World& in) -> Task<void> {
    auto guard = co_await in.lock.scoped();
    const Inside holder(in, in.holders, 1);
    co_await shield(sleep(2ms));
    co_await sleep(1h);
  };
  auto body = [&](TaskGroup& group) -> Task<void> {
    group.spawn(waits(world));
    group.spawn(waits(world));
    group.spawn(fails());
    co_await sleep(1h);
  };
  bool failed = false;
  try {
    co_await task_group(body);
  } catch (const ExceptionGroup& errors) {
    failed = errors.exceptions().size() == 1 && !!errors.exceptions().front();
    if (!failed) throw;
    try {
      std::rethrow_exception(errors.exceptions().front());
    } catch (const ChildFailed&) {
    }
  }
  CHECK(failed);
}

Task<void> everything(World& world) {
  Pair pair = Pair::sockets();
  Fd a(::dup(pair.a.fileno()));
  Fd b(::dup(pair.b.fileno()));
  pair.a.close();
  pair.b.close();
  co_await gather(session(std::move(a), world), session(std::move(b), world), produce(world), consume(world),
                  consume(world), watch(world));
  co_await world.queue.join();
  co_await fail_in_a_group(world);
}

class Everywhere {
 public:
  explicit Everywhere(std::string_view selector) {
    options.loop.selector = selector;
    options.loop.virtual_time = true;
  }

  Task<void> scenario() {
    world_.emplace();
    co_await timeout(1h, everything(*world_));
  }

  void check(const DisturbedRun& run) {
    INFO(run.what());
    // Who waits for what a cancelled task was to do waits until the timeout, or sees its end of the
    // connection.
    if (run.disturbance != Disturbance::CANCEL ||
        !(run.failed_with<TimeoutError>() || run.failed_with<std::system_error>()))
      check_usual_end(run);
    if (!world_) return;  // it had no memory to begin with
    World& world = *world_;
    CHECK_FALSE(world.doubled);
    CHECK_FALSE(world.crowded);
    CHECK_FALSE(world.lock.locked());
    CHECK(world.lock.try_acquire());
    CHECK(world.permits.value() == 2);
    CHECK(world.holders == 0);
    CHECK(world.users == 0);
    if (run.disturbance != Disturbance::ALLOCATION) CHECK(world.cleaned == world.opened);
    std::array<bool, World::items> left{};
    while (!world.queue.empty()) left[*world.queue.get_nowait()] = true;
    for (std::size_t i = 0; i < left.size(); ++i) {
      INFO("item " << i);
      CHECK(static_cast<int>(world.put[i]) == left[i] + world.got[i]);
    }
    // Nobody is in line any more: who comes now is served at once.
    CHECK(world.queue.try_put(std::make_unique<std::size_t>(0)));
    CHECK(world.queue.qsize() == 1);
    world_.reset();
  }

  DisturbCount cancel() {
    return cancel_everywhere([this]() -> Task<void> { co_await scenario(); },
                             [this](const DisturbedRun& run) { check(run); }, options);
  }
  DisturbCount fail() {
    return throw_everywhere([this]() -> Task<void> { co_await scenario(); },
                            std::make_exception_ptr(std::domain_error("injected")),
                            [this](const DisturbedRun& run) { check(run); }, options);
  }
  DisturbCount starve() {
    return fail_allocations([this]() -> Task<void> { co_await scenario(); },
                            [this](const DisturbedRun& run) { check(run); }, options);
  }

  DisturbOptions options;

 private:
  std::optional<World> world_;
};

}  // namespace

ON_SELECTORS(
    "wherever a task of a scenario of everything is cancelled, nothing is lost and nobody waits any more") {
  Everywhere everywhere(selector);
  const DisturbCount count = everywhere.cancel();
  CHECK(count.places >= 100);
  CHECK(count.failed >= 80);
}

TEST_CASE("the same when the request to stop comes from outside of the loop, and in other orders") {
  for (const std::uint64_t seed : {0U, 1U, 2U}) {
    Everywhere everywhere("default");
    everywhere.options.from_outside = true;
    everywhere.options.loop.shuffle_seed = seed;
    CHECK(everywhere.cancel().places >= 100);
  }
}

ON_SELECTORS(
    "wherever an operation of a scenario of everything fails, nothing is lost and nobody waits any more") {
  Everywhere everywhere(selector);
  const DisturbCount count = everywhere.fail();
  CHECK(count.places >= 40);
  CHECK(count.failed >= 40);
}

ON_SELECTORS(
    "whichever allocation of a scenario of everything fails, nothing is lost and nobody waits any more") {
  if (!allocations_are_observed()) return;
  Everywhere everywhere(selector);
  const DisturbCount count = everywhere.starve();
  CHECK(count.places >= 90);
  CHECK(count.failed >= 90);
}
