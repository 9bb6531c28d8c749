// Dumps: the tree of tasks joined with the selector's map.
// SPDX-License-Identifier: MIT
#include "dump.hpp"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <vector>

#include "../core/operation.hpp"
#include "../loop/event_loop.hpp"
#include "../loop/loop_registry.hpp"
#include "../task/task_handle.hpp"

namespace heddle {

namespace {

std::string seconds(Duration time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f s", std::chrono::duration<double>(time).count());
  return text;
}

std::string place(std::source_location where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line()) + " in " + where.function_name();
}

std::string label(const TaskState& task) {
  std::string text = "task " + std::to_string(task.id());
  if (!task.name().empty()) text.append(" \"").append(task.name()).append("\"");
  return text;
}

// "fd 17 READ (TCP 127.0.0.1:7000 <- 127.0.0.1:43210), registered for READ|WRITE"
std::string descriptor(const EventLoop& loop, int fd, EventMask events) {
  std::string text = "fd " + std::to_string(fd);
  if (events) text += " " + to_string(events);
  char what[256];
  if (loop.system().describe(fd, what, sizeof what)) text.append(" (").append(what).append(")");
  const SelectorKey* const key = loop.selector().get_map().find(fd);
  return text + (key != nullptr ? ", registered for " + to_string(key->events) : ", not registered");
}

std::string wait(const EventLoop& loop, const TaskState& task) {
  if (!task.started()) return "not started";
  if (task.waits_at() == nullptr) return "running";
  if (task.queued()) return "about to go on";
  const WaitInfo info = task.waits_at()->describe();
  std::string text = "waits for ";
  if (info.fd >= 0)
    text += descriptor(loop, info.fd, info.events);
  else if (info.task != nullptr)
    text += label(*info.task);
  else
    text += info.what;
  text += ", " + seconds(loop.time() - task.suspended_since());
  if (info.until) text += ", for " + seconds(*info.until - loop.time()) + " more";
  return text;
}

class Tree {
 public:
  explicit Tree(const EventLoop& loop) : loop_(loop), tasks_(all_tasks(loop)), children_(tasks_) {
    std::sort(children_.begin(), children_.end(), [](const TaskHandle& a, const TaskHandle& b) {
      const std::uint64_t of_a = a.state().spawned_by();
      const std::uint64_t of_b = b.state().spawned_by();
      return of_a != of_b ? of_a < of_b : a.id() < b.id();
    });
  }

  std::string text() {
    const auto map = loop_.selector().get_map();
    std::string text = "heddle: " + count(tasks_.size(), "task") + ", " +
                       count(loop_.counters().timers, "timer") + ", " + count(map.size() - 1, "descriptor") +
                       " on " + loop_.selector().name() + "\n";
    for (const TaskHandle& task : tasks_)
      if (!is_listed(task.state().spawned_by())) add(text, task.state(), 0);
    add_idle(text);
    return text;
  }

 private:
  static std::string count(std::size_t number, const char* noun) {
    return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
  }

  bool is_listed(std::uint64_t id) const noexcept {
    const auto found =
        std::lower_bound(tasks_.begin(), tasks_.end(), id,
                         [](const TaskHandle& task, std::uint64_t number) { return task.id() < number; });
    return found != tasks_.end() && found->id() == id;
  }

  void add(std::string& text, const TaskState& task, unsigned depth) {
    const std::string indent(2 * std::size_t{depth}, ' ');
    text += indent + label(task) + ": " + wait(loop_, task) + "\n";
    for (const AsyncFrame* frame = task.leaf(); frame != nullptr; frame = frame->parent())
      text += indent + "    at " + place(frame->where) + "\n";
    if (task.where().line() != 0) text += indent + "    spawned at " + place(task.where()) + "\n";
    if (task.waits_at() != nullptr) waited_for_.push_back(task.waits_at()->describe().fd);
    auto child = std::lower_bound(
        children_.begin(), children_.end(), task.id(),
        [](const TaskHandle& each, std::uint64_t parent) { return each.state().spawned_by() < parent; });
    for (; child != children_.end() && child->state().spawned_by() == task.id(); ++child)
      add(text, child->state(), depth + 1);
  }

  void add_idle(std::string& text) const {
    bool first = true;
    for (const SelectorKey& key : loop_.selector().get_map()) {
      if (!key.data.holds<FdWatch*>() ||
          std::find(waited_for_.begin(), waited_for_.end(), key.fd) != waited_for_.end())
        continue;
      if (std::exchange(first, false)) text += "nobody waits for\n";
      text += "    " + descriptor(loop_, key.fd, EventMask(0)) + "\n";
    }
  }

  const EventLoop& loop_;
  std::vector<TaskHandle> tasks_;     // by number
  std::vector<TaskHandle> children_;  // by who spawned them, then by number
  std::vector<int> waited_for_;
};

}  // namespace

std::string dump_tasks(const EventLoop& loop) { return Tree(loop).text(); }

std::string dump_tasks() { return dump_tasks(EventLoop::running()); }

// Loops of the process.

namespace {

std::mutex registry_mutex;
EventLoop* registry = nullptr;

}  // namespace

void LoopRegistry::add(EventLoop& loop) noexcept {
  const std::lock_guard lock(registry_mutex);
  loop.next_loop_ = std::exchange(registry, &loop);
}

void LoopRegistry::remove(EventLoop& loop) noexcept {
  const std::lock_guard lock(registry_mutex);
  EventLoop** link = &registry;
  while (*link != &loop) link = &(*link)->next_loop_;
  *link = loop.next_loop_;
}

// The lock isn't taken: the debugger has stopped all threads, and one of them may hold it.
void LoopRegistry::print_all() {
  for (const EventLoop* loop = registry; loop != nullptr; loop = loop->next_loop_)
    if (!loop->closed()) std::fputs(dump_tasks(*loop).c_str(), stderr);
}

}  // namespace heddle

void heddle_dump_tasks() noexcept {
  if (heddle::current.loop != nullptr)
    std::fputs(heddle::dump_tasks(*heddle::current.loop).c_str(), stderr);
  else
    heddle::LoopRegistry::print_all();
}
