// World: how a program begins and ends, how a task goes through its steps, and what is written down.
// SPDX-License-Identifier: MIT
#include "world.hpp"

#include <chrono>
#include <memory>

#include "../../../../runtime/task/sleep.hpp"
#include "../../../../runtime/task/wait.hpp"

namespace heddle::test {

using std::chrono::milliseconds;

namespace {

constexpr int rounds = 60;      // in which main cancels what is left
constexpr int rounds_held = 3;  // later a shield doesn't keep them back

}  // namespace

std::string in_words(const std::exception_ptr& error) {
  if (!error) return "done";
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled&) {
    return "cancelled";
  } catch (const TimeoutError&) {
    return "timeout";
  } catch (const Fail& fail) {
    return fail.what();
  } catch (const QueueShutDown&) {
    return "shut down";
  } catch (const ExceptionGroup& group) {
    std::string text;
    for (const std::exception_ptr& each : group.exceptions())
      text += (text.empty() ? "" : ", ") + in_words(each);
    return "group(" + text + ")";
  } catch (const std::exception& other) {
    return std::string("another exception: ") + other.what();
  }
}

Task<void> PeerWorld::main() {
  loop_ = &EventLoop::running();
  start_ = loop_->time();
  queues_.emplace_back(0);
  queues_.emplace_back(1);
  semaphores_.emplace_back(1);
  semaphores_.emplace_back(2);
  Handles first;
  int number = 0;
  for (const PeerBlock& block : program_.tasks) {
    ++number;
    first.push_back(spawn(life(number, block)));
    tasks_[number] = first.back().task();
  }
  // Nothing in a program takes an hour: who isn't done by then waits for ever.
  co_await wait(first, ReturnWhen::ALL_COMPLETED, std::chrono::hours(1));
  co_await sleep(milliseconds(1));  // as in interpreter.py
  for (int round = 0; round < rounds; ++round) {
    std::vector<TaskHandle> left;
    for (const TaskHandle& task : all_tasks())
      if (task != current_task()) left.push_back(task);
    if (left.empty()) co_return;
    say(0, 0, "cancels " + std::to_string(left.size()));
    for (const TaskHandle& task : left)
      task.state().cancel_inside(round < rounds_held ? 0 : task.state().shields());
    co_await sleep(milliseconds(1));
  }
  say(0, 0, "gives up");
}

std::vector<std::string> PeerWorld::take_log() {
  for (const auto& [number, task] : tasks_) static_cast<void>(task.error());  // it is not reported
  tasks_.clear();
  return std::move(log_);
}

void PeerWorld::say(int task, int step, const std::string& what) {
  const auto now = std::chrono::duration_cast<milliseconds>(loop_->time() - start_).count();
  log_.push_back(std::to_string(now) + " " + std::to_string(task) + " " + std::to_string(step) + " " + what);
}

const TaskHandle* PeerWorld::find(int number) const {
  const auto found = tasks_.find(number);
  return found != tasks_.end() ? &found->second : nullptr;
}

JoinHandle<void> PeerWorld::handle_of(const TaskHandle& task) {
  task.state().add_reference();
  return JoinHandle<void>(static_cast<detail::SpawnedTask<void>&>(task.state()));
}

Task<void> PeerWorld::life(int me, const PeerBlock& steps) {
  tasks_[me] = current_task();
  say(me, 0, "starts");
  std::exception_ptr error;
  try {
    co_await all(me, steps);
  } catch (...) {
    error = std::current_exception();
  }
  say(me, 0, in_words(error));
  if (error) std::rethrow_exception(error);
}

Task<void> PeerWorld::all(int me, const PeerBlock& steps) {
  for (const PeerStep& step : steps) {
    What what;
    std::exception_ptr error;
    try {
      co_await (this->*doings().at(step.kind))(me, step, what);
    } catch (...) {
      error = std::current_exception();
    }
    say(me, step.number, error || what.empty() ? in_words(error) : what);
    if (error) std::rethrow_exception(error);
  }
}

std::vector<Task<void>> PeerWorld::lives(const PeerStep& step, std::size_t first_number) {
  std::vector<Task<void>> tasks;
  for (std::size_t i = 0; i < step.blocks.size(); ++i)
    tasks.push_back(life(step.args[first_number + i], step.blocks[i]));
  return tasks;
}

const std::map<std::string, PeerWorld::Doing>& PeerWorld::doings() {
  static const std::map<std::string, Doing> all{
      {"sleep", &PeerWorld::do_sleep},
      {"yield", &PeerWorld::do_yield},
      {"spawn", &PeerWorld::do_spawn},
      {"join", &PeerWorld::do_join},
      {"cancel", &PeerWorld::do_cancel},
      {"cancel_self", &PeerWorld::do_cancel_self},
      {"cancel_later", &PeerWorld::do_cancel_later},
      {"uncancel", &PeerWorld::do_uncancel},
      {"cancelling", &PeerWorld::do_cancelling},
      {"timeout", &PeerWorld::do_timeout},
      {"hold", &PeerWorld::do_hold},
      {"group", &PeerWorld::do_group},
      {"group_spawn", &PeerWorld::do_group_spawn},
      {"fail", &PeerWorld::do_fail},
      {"throw", &PeerWorld::do_throw},
      {"catch", &PeerWorld::do_catch},
      {"rescue", &PeerWorld::do_rescue},
      {"finally", &PeerWorld::do_finally},
      {"gather", &PeerWorld::do_gather},
      {"settle", &PeerWorld::do_settle},
      {"as_completed", &PeerWorld::do_as_completed},
      {"wait", &PeerWorld::do_wait},
      {"shield", &PeerWorld::do_shield},
      {"shield_new", &PeerWorld::do_shield_new},
      {"put", &PeerWorld::do_put},
      {"get", &PeerWorld::do_get},
      {"put_nowait", &PeerWorld::do_put_nowait},
      {"get_nowait", &PeerWorld::do_get_nowait},
      {"task_done", &PeerWorld::do_task_done},
      {"join_queue", &PeerWorld::do_join_queue},
      {"shutdown", &PeerWorld::do_shutdown},
      {"notified", &PeerWorld::do_notified},
      {"notify", &PeerWorld::do_notify},
      {"locked", &PeerWorld::do_locked},
      {"permitted", &PeerWorld::do_permitted},
      {"set", &PeerWorld::do_set},
      {"clear", &PeerWorld::do_clear},
      {"await_event", &PeerWorld::do_await_event},
  };
  return all;
}

std::vector<std::string> play_program(const PeerProgram& program) {
  LoopOptions options;
  options.virtual_time = true;
  auto loop = std::make_unique<EventLoop>(options);
  loop->set_report_handler([](EventLoop&, const Report&, void*) {});
  auto world = std::make_unique<PeerWorld>(program);
  JoinHandle<void> main = spawn_for(*loop, world->main(), std::source_location());
  loop->run_until_complete(main.state());
  main.result();
  std::vector<std::string> log = world->take_log();
  if (loop->first_child() != nullptr) {  // it waits for ever, at what is in the world
    static_cast<void>(loop.release());
    static_cast<void>(world.release());
  } else {
    loop->close();
  }
  return log;
}

}  // namespace heddle::test
