// Dumps: the tree of tasks joined with the selector's map.
// SPDX-License-Identifier: MIT
#include "dump.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "../../selector/base_selector.hpp"
#include "../core/operation.hpp"
#include "../core/scheduler.hpp"
#include "loop_registry.hpp"

namespace heddle {

using namespace detail;

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
std::string descriptor(const Scheduler& loop, int fd, EventMask events) {
  std::string text = "fd " + std::to_string(fd);
  if (events) text += " " + to_string(events);
  char what[256];
  if (loop.system().describe(fd, what, sizeof what)) text.append(" (").append(what).append(")");
  const SelectorKey* const key = loop.selector().get_map().find(fd);
  return text + (key != nullptr ? ", registered for " + to_string(key->events) : ", not registered");
}

std::string wait(const Scheduler& loop, const TaskState& task) {
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
  explicit Tree(const Scheduler& loop) : loop_(loop) {
    loop.collect_tasks(tasks_);
    std::sort(tasks_.begin(), tasks_.end(),
              [](const TaskState* a, const TaskState* b) { return a->id() < b->id(); });
    for (const TaskState* const task : tasks_) children_.push_back({spawner_of(*task), task});
    std::sort(children_.begin(), children_.end(), [](const Child& a, const Child& b) {
      return a.spawner != b.spawner ? a.spawner < b.spawner : a.task->id() < b.task->id();
    });
  }

  std::string text() {
    const auto map = loop_.selector().get_map();
    const std::size_t descriptors = map.size() - (map.size() != 0);  // but for the loop's own
    std::string text = "heddle: " + count(tasks_.size(), "task") + ", " +
                       count(loop_.armed_timers(), "timer") + ", " + count(descriptors, "descriptor") +
                       " on " + loop_.selector().name() + "\n";
    add_children_of(text, 0, 0);
    add_idle(text);
    return text;
  }

 private:
  struct Child {
    std::uint64_t spawner;  // 0: it isn't there any more, or it was no task
    const TaskState* task;
  };

  static std::string count(std::size_t number, const char* noun) {
    return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
  }

  bool is_listed(std::uint64_t id) const noexcept {
    const auto found =
        std::lower_bound(tasks_.begin(), tasks_.end(), id,
                         [](const TaskState* task, std::uint64_t number) { return task->id() < number; });
    return found != tasks_.end() && (*found)->id() == id;
  }

  // The latest task before it whose number ends with that half.
  std::uint64_t spawner_of(const TaskState& task) const noexcept {
    if (task.spawned_by() == static_cast<std::uint32_t>(task.id())) return 0;
    constexpr std::uint64_t half = std::uint64_t{1} << 32;
    std::uint64_t id = task.id() / half * half + task.spawned_by();
    for (id = id < task.id() ? id : id - half; id < task.id(); id -= half)
      if (is_listed(id)) return id;
    return 0;
  }

  void add_children_of(std::string& text, std::uint64_t spawner, unsigned depth) {
    auto child = std::lower_bound(children_.begin(), children_.end(), spawner,
                                  [](const Child& each, std::uint64_t id) { return each.spawner < id; });
    for (; child != children_.end() && child->spawner == spawner; ++child) add(text, *child->task, depth);
  }

  void add(std::string& text, const TaskState& task, unsigned depth) {
    const std::string indent(2 * std::size_t{depth}, ' ');
    text += indent + label(task) + ": " + wait(loop_, task) + "\n";
    for (const AsyncFrame* frame = task.leaf(); frame != nullptr; frame = frame->parent())
      text += indent + "    at " + place(frame->where) + "\n";
    if (task.where().line() != 0) text += indent + "    spawned at " + place(task.where()) + "\n";
    if (task.waits_at() != nullptr) waited_for_.push_back(task.waits_at()->describe().fd);
    add_children_of(text, task.id(), depth + 1);
  }

  void add_idle(std::string& text) const {
    bool first = true;
    for (const SelectorKey& key : loop_.selector().get_map()) {
      // (The loop's own wake-up has no data.)
      if (key.data == SelectorData() ||
          std::find(waited_for_.begin(), waited_for_.end(), key.fd) != waited_for_.end())
        continue;
      if (std::exchange(first, false)) text += "nobody waits for\n";
      text += "    " + descriptor(loop_, key.fd, EventMask(0)) + "\n";
    }
  }

  const Scheduler& loop_;
  std::vector<TaskState*> tasks_;  // by number
  std::vector<Child> children_;    // by who spawned them, then by number
  std::vector<int> waited_for_;
};

}  // namespace

std::string dump_tasks(const Scheduler& loop) { return Tree(loop).text(); }

std::string dump_tasks() { return dump_tasks(running_loop()); }

}  // namespace heddle

void heddle_dump_tasks() noexcept {
  if (heddle::detail::current.loop != nullptr)
    std::fputs(heddle::dump_tasks(*heddle::detail::current.loop).c_str(), stderr);
  else
    heddle::detail::LoopRegistry::print_all();
}
