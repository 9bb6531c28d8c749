// Making programs by a seed, printing them, and running them beside the model.
// SPDX-License-Identifier: MIT
#include "program.hpp"

#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>

#include "../../../runtime/core/loop_observer.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/sync/condition.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/lock.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/sync/semaphore.hpp"
#include "../../../runtime/task/gather.hpp"
#include "../../../runtime/task/race.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/task/task_group.hpp"
#include "../../../runtime/task/task_handle.hpp"
#include "../../../runtime/task/timeout.hpp"
#include "../../../runtime/task/wait.hpp"

namespace heddle::test {

using namespace detail;

namespace {

using std::chrono::milliseconds;

constexpr const char* names[] = {"yield",    "sleep",   "locked",    "permitted",    "put",     "get",
                                 "try_put",  "try_get", "shut_down", "set",          "clear",   "wait",
                                 "notified", "notify",  "cancel",    "cancel_later", "timeout", "shield",
                                 "group",    "race",    "fail"};

class Dice {
 public:
  explicit Dice(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  /// From 0 to `count` - 1.
  std::size_t below(std::size_t count) noexcept { return static_cast<std::size_t>(next() % count); }
  bool one_in(std::size_t count) noexcept { return below(count) == 0; }

 private:
  std::uint64_t state_;
};

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : dice_(seed) {
    program_.seed = seed;
    program_.shuffle = dice_.one_in(3) ? 0 : dice_.next() | 1;
  }

  Program make() {
    program_.locks = 1 + dice_.below(2);
    for (std::size_t i = 1 + dice_.below(2); i > 0; --i) program_.permits.push_back(1 + dice_.below(3));
    for (std::size_t i = 1 + dice_.below(2); i > 0; --i) program_.capacities.push_back(dice_.below(4));
    program_.events = 1 + dice_.below(2);
    program_.conditions = 1;
    tasks_ = 2 + dice_.below(6);
    for (std::size_t i = 0; i < tasks_; ++i) program_.tasks.push_back(steps(1 + dice_.below(8), 3));
    return std::move(program_);
  }

 private:
  std::vector<Step> steps(std::size_t count, int depth) {
    std::vector<Step> steps;
    while (count-- > 0) steps.push_back(step(depth));
    return steps;
  }

  // A child that fails after a while.
  Step failure(std::size_t after) {
    Step step;
    step.kind = Step::TIMEOUT;
    step.time = 100;
    Step before;
    before.kind = Step::SLEEP;
    before.time = static_cast<int>(after);
    Step fails;
    fails.kind = Step::FAIL;
    step.body = {before, fails};
    return step;
  }

  Step step(int depth) {
    Step step;
    step.goes_on = dice_.one_in(4);
    step.time = static_cast<int>(dice_.below(6));
    const std::size_t chance = dice_.below(depth > 0 ? 100 : 66);
    auto is = [&, sum = std::size_t{0}](std::size_t share) mutable { return chance < (sum += share); };
    if (is(8)) {
      step.kind = Step::YIELD;
    } else if (is(10)) {
      step.kind = Step::SLEEP;
    } else if (is(11)) {
      step.kind = Step::PUT;
    } else if (is(11)) {
      step.kind = Step::GET;
    } else if (is(2)) {
      step.kind = Step::TRY_PUT;
    } else if (is(2)) {
      step.kind = Step::TRY_GET;
    } else if (is(4)) {
      step.kind = Step::SET;
    } else if (is(2)) {
      step.kind = Step::CLEAR;
    } else if (is(4)) {
      step.kind = Step::WAIT;
    } else if (is(3)) {
      step.kind = Step::NOTIFY;
      step.time = 1 + static_cast<int>(dice_.below(2));
    } else if (is(4)) {
      step.kind = Step::CANCEL;
    } else if (is(4)) {
      step.kind = Step::CANCEL_LATER;
    } else if (is(1)) {
      step.kind = dice_.one_in(3) ? Step::SHUT_DOWN : Step::FAIL;
    } else if (is(10)) {
      step.kind = Step::LOCKED;
      step.body = steps(dice_.below(3), depth - 1);
    } else if (is(7)) {
      step.kind = Step::PERMITTED;
      step.body = steps(dice_.below(3), depth - 1);
    } else if (is(3)) {
      step.kind = Step::NOTIFIED;
      step.body = steps(dice_.below(2), depth - 1);
    } else if (is(8)) {
      step.kind = Step::TIMEOUT;
      step.body = steps(1 + dice_.below(2), depth - 1);
    } else if (is(2)) {
      step.kind = Step::SHIELD;
      Step inner;
      inner.kind = dice_.one_in(2) ? Step::SLEEP : Step::YIELD;
      inner.time = step.time;
      step.body.push_back(inner);
    } else if (is(2)) {
      step.kind = Step::GROUP;
      step.body = steps(1 + dice_.below(3), depth - 1);
      if (dice_.one_in(3)) step.body.push_back(failure(dice_.below(4)));
    } else {
      step.kind = Step::RACE;
      step.body = steps(1 + dice_.below(3), depth - 1);
    }
    switch (step.kind) {
      case Step::LOCKED:
        step.object = dice_.below(program_.locks);
        break;
      case Step::PERMITTED:
        step.object = dice_.below(program_.permits.size());
        break;
      case Step::PUT:
      case Step::GET:
      case Step::TRY_PUT:
      case Step::TRY_GET:
      case Step::SHUT_DOWN:
        step.object = dice_.below(program_.capacities.size());
        break;
      case Step::SET:
      case Step::CLEAR:
      case Step::WAIT:
        step.object = dice_.below(program_.events);
        break;
      case Step::CANCEL:
      case Step::CANCEL_LATER:
        step.object = dice_.below(tasks_);
        break;
      default:
        break;
    }
    return step;
  }

  Dice dice_;
  Program program_;
  std::size_t tasks_ = 0;
};

void print(std::string& text, const std::vector<Step>& steps, std::size_t depth) {
  for (const Step& step : steps) {
    text.append(depth * 2, ' ').append(names[step.kind]).append(" ").append(std::to_string(step.object));
    text.append(" time ").append(std::to_string(step.time)).append(step.goes_on ? " (goes on)\n" : "\n");
    print(text, step.body, depth + 1);
  }
}

// What a task waits for, and since when in the row.
struct Waiting {
  Step::Kind kind = Step::YIELD;
  std::size_t object = 0;
  std::uint64_t ticket = 0;
};

struct Actor {
  std::string name;
  TaskState* task = nullptr;
  std::optional<Waiting> waiting;
  unsigned caught = 0;  // Cancelled
  bool asked = false;   // to stop, and no Cancelled has come yet
  int ends_since = 0;   // operations that ended well since
  unsigned shields = 0;
};

struct ProgramError : std::runtime_error {
  ProgramError() : std::runtime_error("the program says fail") {}
};

class World final : public LoopObserver {
 public:
  World(const Program& program, EventLoop& loop, Played& played)
      : program_(program),
        loop_(loop),
        played_(played),
        locks_(program.locks),
        events_(program.events),
        conditions_(program.conditions) {
    holders_.resize(program.locks + program.conditions);
    users_.resize(program.permits.size());
    for (const std::size_t permits : program.permits) semaphores_.emplace_back(permits);
    for (const std::size_t capacity : program.capacities) queues_.emplace_back(capacity);
    shut_down_.resize(program.capacities.size());
  }

  Task<void> main() {
    for (std::size_t i = 0; i < program_.tasks.size(); ++i) {
      Actor& actor = add_actor("task " + std::to_string(i));
      handles_.push_back(spawn(act(actor, program_.tasks[i])));
      actor.task = &handles_.back().state();
    }
    // Nothing in a program takes an hour: who isn't done by then waits for ever.
    co_await wait(handles_, ReturnWhen::ALL_COMPLETED, std::chrono::hours(1));
    for (JoinHandle<void>& handle : handles_) played_.stuck += !handle.done();
    // Each of them, children too: one that has gone on after its Cancelled is not told again by its parent.
    while (any_alive()) {
      for (const TaskHandle& task : all_tasks())
        if (task != current_task()) task.cancel();
      co_await sleep(milliseconds(1));
    }
  }

  // Once all tasks are done.
  void check_end() {
    check();
    for (std::size_t i = 0; i < locks_.size(); ++i) expect(!locks_[i].locked(), "a lock is held in the end");
    for (std::size_t i = 0; i < conditions_.size(); ++i)
      expect(!conditions_[i].locked(), "a condition's lock is held in the end");
    for (std::size_t i = 0; i < semaphores_.size(); ++i)
      expect(semaphores_[i].value() == program_.permits[i], "a permit is lost or doubled");
    for (std::size_t q = 0; q < queues_.size(); ++q)
      while (!queues_[q].empty()) count_got(q, queues_[q].get_nowait(), false);
    for (const Item& item : items_) {
      expect(item.put == item.got,
             item.put ? "an item that was put is nowhere" : "an item that was not put was got");
    }
    expect(loop_.counters().timers <= pending_calls_, "a timer is left");
  }

 private:
  struct Item {
    bool put = false;
    bool got = false;
    std::size_t producer = 0;
    std::size_t queue = 0;
  };

  bool any_alive() const {
    for (const JoinHandle<void>& handle : handles_)
      if (!handle.done()) return true;
    return false;
  }

  Actor& add_actor(std::string name) {
    actors_.push_back(std::make_unique<Actor>());
    actors_.back()->name = std::move(name);
    return *actors_.back();
  }

  void log(const Actor& actor, const Step& step, const char* what) {
    const auto now = std::chrono::duration_cast<milliseconds>(loop_.time().time_since_epoch()).count();
    played_.log.push_back(std::to_string(now) + " ms  " + actor.name + ": " + names[step.kind] + " " +
                          std::to_string(step.object) + " " + what);
  }

  void expect(bool holds, const char* what) {
    if (holds || !played_.failure.empty()) return;
    played_.failure = what;
    played_.log.push_back(std::string("HERE: ") + what);
  }

  // What must hold between any two steps of the loop.

  // Now and then the loop looks at its timers though somebody is ready, as it does when many are.
  bool before_step(Runnable&) noexcept override {
    check();
    return program_.shuffle == 0 || !dice_.one_in(4);
  }
  void after_step(TaskState&) noexcept override { check(); }

  // The task waits, and nothing has come for it yet.
  static bool waits(const Actor& actor) {
    return actor.waiting && actor.task != nullptr && !actor.task->done() &&
           actor.task->waits_at() != nullptr && !actor.task->queued();
  }

  void check() {
    std::vector<int> about_to_use(semaphores_.size());
    for (const auto& each : actors_) {
      const Actor& actor = *each;
      if (!actor.waiting) continue;
      const std::size_t object = actor.waiting->object;
      if (!waits(actor)) {
        about_to_use[actor.waiting->kind == Step::PERMITTED ? object : 0] +=
            actor.waiting->kind == Step::PERMITTED;
        continue;
      }
      switch (actor.waiting->kind) {
        case Step::LOCKED:
          expect(locks_[object].locked(), "a task waits for a lock that is free");
          break;
        case Step::PERMITTED:
          expect(semaphores_[object].value() == 0, "a task waits for a permit that is there");
          break;
        case Step::GET:
          expect(queues_[object].empty(), "a task waits for an item that is there");
          expect(!shut_down_[object], "a task waits for an item of a queue that was shut down");
          break;
        case Step::PUT:
          expect(queues_[object].full(), "a task waits for room that is there");
          expect(!shut_down_[object], "a task waits for room in a queue that was shut down");
          break;
        case Step::WAIT:
          expect(!events_[object].is_set(), "a task waits for an event that is set");
          break;
        default:
          break;
      }
    }
    for (std::size_t i = 0; i < semaphores_.size(); ++i) {
      const std::size_t known = semaphores_[i].value() + static_cast<std::size_t>(users_[i]);
      expect(known <= program_.permits[i], "there are more permits than there were");
      expect(known + static_cast<std::size_t>(about_to_use[i]) >= program_.permits[i], "a permit is gone");
    }
    for (std::size_t q = 0; q < queues_.size(); ++q)
      expect(queues_[q].maxsize() == 0 || queues_[q].qsize() <= queues_[q].maxsize(),
             "a queue is more than full");
  }

  // While it lives, the actor waits for something. Who gets it must not pass others who wait.
  class InLine {
   public:
    InLine(World& world, Actor& actor, Step::Kind kind, std::size_t object) : world_(world), actor_(actor) {
      actor.waiting = Waiting{kind, object, ++world.tickets_};
    }
    InLine(const InLine&) = delete;
    InLine& operator=(const InLine&) = delete;
    ~InLine() { actor_.waiting.reset(); }

    void got_it() {
      const Waiting mine = *actor_.waiting;
      for (const auto& other : world_.actors_)
        if (waits(*other) && other->waiting->kind == mine.kind && other->waiting->object == mine.object)
          world_.expect(other->waiting->ticket > mine.ticket || mine.kind == Step::WAIT,
                        "a task was served before one that had come earlier");
      actor_.waiting.reset();
    }

   private:
    World& world_;
    Actor& actor_;
  };

  class Inside {
   public:
    Inside(World& world, int& count, std::size_t most, const char* what) : count_(count) {
      ++count_;
      world.expect(count_ <= static_cast<int>(most), what);
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() { --count_; }

   private:
    int& count_;
  };

  void request(Actor& target) {
    if (target.task == nullptr || !target.task->cancel()) return;
    if (!std::exchange(target.asked, true)) target.ends_since = 0;
  }

  // An operation of the actor ended well. Of those that a request to stop came too late for there can be one.
  void ended_well(Actor& actor) {
    if (!actor.asked || actor.shields != 0) return;
    expect(++actor.ends_since <= 1, "a request to stop was lost");
  }

  void count_got(std::size_t queue, int number, bool in_order) {
    Item& item = items_[static_cast<std::size_t>(number)];
    expect(!item.got, "an item was got twice");
    item.got = true;
    if (!in_order) return;
    // Of one producer the items come in their order. What is still missing lies with who is about to go on.
    int missing = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(number); ++i)
      missing +=
          items_[i].producer == item.producer && items_[i].queue == queue && items_[i].put && !items_[i].got;
    for (const auto& other : actors_)
      if (other->waiting && !waits(*other) && other->waiting->kind == Step::GET &&
          other->waiting->object == queue)
        --missing;
    expect(missing <= 0, "an item was got before an earlier one");
  }

  int new_item(const Actor& actor, std::size_t queue) {
    std::size_t producer = 0;
    while (actors_[producer].get() != &actor) ++producer;
    items_.push_back(Item{false, false, producer, queue});
    return static_cast<int>(items_.size() - 1);
  }

  // The whole life of a task.
  Task<void> act(Actor& actor, const std::vector<Step>& steps) {
    try {
      co_await perform_all(actor, steps);
    } catch (const ProgramError&) {
    } catch (const ExceptionGroup&) {
    }
  }

  Task<void> perform_all(Actor& actor, const std::vector<Step>& steps) {
    for (const Step& step : steps) {
      log(actor, step, "begins");
      try {
        co_await perform(actor, step);
        log(actor, step, "ends");
      } catch (const Cancelled&) {
        log(actor, step, "cancelled");
        if (!step.goes_on) throw;
        catch_cancelled(actor);
      } catch (const QueueShutDown&) {
        log(actor, step, "shut down");
      } catch (const ExceptionGroup&) {
        log(actor, step, "failed");
      }
    }
  }

  // Between two Cancelled there is a request; those of timeouts and groups were taken back by now.
  void catch_cancelled(Actor& actor) {
    ++played_.cancelled;
    ++actor.caught;
    actor.asked = false;
    expect(actor.caught <= actor.task->cancel_requests(), "there were more Cancelled than requests to stop");
  }

  Task<void> perform(Actor& actor, const Step& step) {
    switch (step.kind) {
      case Step::YIELD:
        co_await yield();
        ended_well(actor);
        break;
      case Step::SLEEP: {
        const TimePoint begin = loop_.time();
        co_await sleep(milliseconds(step.time));
        expect(loop_.time() == begin + milliseconds(step.time),
               "a sleep took another time than was asked for");
        ended_well(actor);
        break;
      }
      case Step::LOCKED: {
        InLine in_line(*this, actor, step.kind, step.object);
        const auto guard = co_await locks_[step.object].scoped();
        in_line.got_it();
        ended_well(actor);
        const Inside inside(*this, holders_[step.object], 1, "two tasks hold a lock");
        co_await perform_all(actor, step.body);
        break;
      }
      case Step::PERMITTED: {
        InLine in_line(*this, actor, step.kind, step.object);
        const auto guard = co_await semaphores_[step.object].scoped();
        in_line.got_it();
        ended_well(actor);
        const Inside inside(*this, users_[step.object], program_.permits[step.object],
                            "more tasks have permits than there are");
        co_await perform_all(actor, step.body);
        break;
      }
      case Step::PUT: {
        const int item = new_item(actor, step.object);
        InLine in_line(*this, actor, step.kind, step.object);
        co_await queues_[step.object].put(item);
        in_line.got_it();
        items_[static_cast<std::size_t>(item)].put = true;
        ended_well(actor);
        break;
      }
      case Step::GET: {
        InLine in_line(*this, actor, step.kind, step.object);
        const int item = co_await queues_[step.object].get();
        in_line.got_it();
        count_got(step.object, item, true);
        ended_well(actor);
        break;
      }
      case Step::TRY_PUT: {
        const int item = new_item(actor, step.object);
        items_[static_cast<std::size_t>(item)].put = queues_[step.object].try_put(int{item});
        break;
      }
      case Step::TRY_GET:
        if (const auto item = queues_[step.object].try_get()) count_got(step.object, *item, true);
        break;
      case Step::SHUT_DOWN:
        shut_down_[step.object] = true;
        queues_[step.object].shutdown();
        break;
      case Step::SET:
        events_[step.object].set();
        break;
      case Step::CLEAR:
        events_[step.object].clear();
        break;
      case Step::WAIT: {
        InLine in_line(*this, actor, step.kind, step.object);
        co_await events_[step.object].wait();
        in_line.got_it();
        ended_well(actor);
        break;
      }
      case Step::NOTIFIED:
        co_await be_notified(actor, step);
        break;
      case Step::NOTIFY: {
        const auto guard = co_await conditions_[step.object].scoped();
        ended_well(actor);
        const Inside inside(*this, holders_[locks_.size() + step.object], 1,
                            "two tasks hold a condition's lock");
        conditions_[step.object].notify(static_cast<std::size_t>(step.time));
        break;
      }
      case Step::CANCEL:
        request(*actors_[step.object]);
        break;
      case Step::CANCEL_LATER:
        ++pending_calls_;
        loop_.call_later(milliseconds(step.time), [this, object = step.object] {
          --pending_calls_;
          request(*actors_[object]);
        });
        break;
      case Step::TIMEOUT: {
        const TimePoint deadline = loop_.time() + milliseconds(step.time);
        // One that went on inside of it may have been of its own request, which is taken back.
        struct Scope {
          Scope(Actor& who, const EventLoop& on, TimePoint end) : actor(who), loop(on), deadline(end) {}
          Scope(const Scope&) = delete;
          ~Scope() {
            if (actor.caught > caught && loop.time() >= deadline) --actor.caught;
          }
          Actor& actor;
          const EventLoop& loop;
          TimePoint deadline;
          unsigned caught = actor.caught;
        } scope(actor, loop_, deadline);
        bool late = false;
        try {
          co_await timeout(milliseconds(step.time), perform_all(actor, step.body));
        } catch (const TimeoutError&) {
          late = true;
          ++played_.timed_out;
        }
        // What is inside may end late only by going on after it was told.
        if (late) expect(loop_.time() >= deadline, "a timeout came too early");
        if (late && stops_at_once(step.body)) expect(loop_.time() == deadline, "a timeout came too late");
        break;
      }
      case Step::SHIELD: {
        struct Shielded {
          explicit Shielded(Actor& which) : actor(which) { ++actor.shields; }
          Shielded(const Shielded&) = delete;
          ~Shielded() { --actor.shields; }
          Actor& actor;
        } shielded(actor);
        co_await shield(perform_all(actor, step.body));
        break;
      }
      case Step::GROUP:
        co_await perform_group(actor, step);
        break;
      case Step::RACE: {
        std::vector<Task<void>> tasks;
        for (const Step& each : step.body) tasks.push_back(child(actor, each));
        co_await race(std::move(tasks));
        break;
      }
      case Step::FAIL:
        throw ProgramError();
    }
  }

  // Whatever a timeout inside of it asks to stop does so at once.
  static bool stops_at_once(const std::vector<Step>& steps) {
    for (const Step& step : steps)
      if (step.goes_on || step.kind == Step::SHIELD || step.kind == Step::NOTIFIED ||
          step.kind == Step::GROUP || step.kind == Step::RACE || !stops_at_once(step.body))
        return false;
    return true;
  }

  Task<void> be_notified(Actor& actor, const Step& step) {
    Condition& condition = conditions_[step.object];
    int& holders = holders_[locks_.size() + step.object];
    const auto guard = co_await condition.scoped();
    ended_well(actor);
    {
      const Inside inside(*this, holders, 1, "two tasks hold a condition's lock");
    }
    std::exception_ptr error;
    try {
      co_await condition.wait();
      ended_well(actor);
    } catch (const Cancelled&) {
      error = std::current_exception();
    }
    expect(condition.locked(), "the lock is not held after waiting for a condition");
    const Inside inside(*this, holders, 1, "two tasks hold a condition's lock");
    if (error) std::rethrow_exception(error);
    co_await perform_all(actor, step.body);
  }

  Task<void> child(const Actor& parent, const Step& step) {
    Actor& actor = add_actor(parent.name + "." + names[step.kind]);
    actor.task = current.task;
    const std::vector<Step> steps{step};
    co_await perform_all(actor, steps);
  }

  Task<void> perform_group(Actor& actor, const Step& step) {
    auto body = [this, &actor, &step](TaskGroup& group) -> Task<void> {
      for (const Step& each : step.body) group.spawn(child(actor, each));
      co_await sleep(milliseconds(step.time));
    };
    co_await task_group(body);
  }

  const Program& program_;
  EventLoop& loop_;
  Played& played_;
  std::deque<Lock> locks_;
  std::deque<Semaphore> semaphores_;
  std::deque<Queue<int>> queues_;
  std::deque<Event> events_;
  std::deque<Condition> conditions_;
  std::vector<int> holders_;  // of locks, then of the conditions' locks
  std::vector<int> users_;
  std::vector<bool> shut_down_;
  std::vector<Item> items_;
  std::vector<std::unique_ptr<Actor>> actors_;
  std::vector<JoinHandle<void>> handles_;
  Dice dice_{program_.seed};
  std::uint64_t tickets_ = 0;
  std::size_t pending_calls_ = 0;
};

}  // namespace

Program make_program(std::uint64_t seed) { return Maker(seed).make(); }

std::string in_words(const Program& program) {
  std::string text = "program " + std::to_string(program.seed) + ", shuffled by " +
                     std::to_string(program.shuffle) + "; " + std::to_string(program.locks) +
                     " locks, permits";
  for (const std::size_t permits : program.permits) text += " " + std::to_string(permits);
  text += ", queues of";
  for (const std::size_t capacity : program.capacities) text += " " + std::to_string(capacity);
  text += ", " + std::to_string(program.events) + " events\n";
  for (std::size_t i = 0; i < program.tasks.size(); ++i) {
    text += "task " + std::to_string(i) + "\n";
    print(text, program.tasks[i], 1);
  }
  return text;
}

Played play(const Program& program) {
  Played played;
  LoopOptions options;
  options.virtual_time = true;
  options.shuffle_seed = program.shuffle;
  EventLoop loop(options);
  loop.set_report_handler([](EventLoop&, const Report&, void*) {});
  {
    World world(program, loop, played);
    loop.add_observer(world);
    JoinHandle<void> main = spawn_for(loop, world.main(), std::source_location());
    try {
      loop.run_until_complete(main.state());
      main.result();
      if (loop.first_child() != nullptr && played.failure.empty()) played.failure = "a task is left";
      world.check_end();
    } catch (const std::exception& error) {
      if (played.failure.empty()) played.failure = error.what();
    }
    loop.remove_observer(world);
    loop.close();
  }
  return played;
}

}  // namespace heddle::test
