// Dumps: the tree of tasks joined with the selector's map.
// SPDX-License-Identifier: MIT
#include "dump.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>
#include <vector>

#include "../../selector/base_selector.hpp"
#include "../core/loop_registry.hpp"
#include "../core/operation.hpp"
#include "../core/scheduler.hpp"

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
  if (events) text.append(" ").append(to_string(events));  // (of `" " + ...` GCC 12 warns at -O3)
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

// To a sink, some whole lines at a time.
class Lines {
 public:
  using Write = void (*)(void* to, std::string_view lines);

  Lines(Write write, void* to) : write_(write), to_(to) {}

  void add(std::size_t indent, std::string_view line) {
    text_.append(indent, ' ').append(line).append("\n");
    if (text_.size() >= enough) flush();
  }
  void flush() {
    if (!text_.empty()) write_(to_, text_);
    text_.clear();
  }

 private:
  static constexpr std::size_t enough = std::size_t{32} * 1024;

  Write write_;
  void* to_;
  std::string text_;
};

class Tree {
 public:
  Tree(const Scheduler& loop, Lines& lines) : loop_(loop), lines_(lines) {
    loop.collect_tasks(tasks_);
    std::sort(tasks_.begin(), tasks_.end(),
              [](const TaskState* a, const TaskState* b) { return a->id() < b->id(); });
    for (const TaskState* const task : tasks_) children_.push_back({spawner_of(*task), task});
    std::sort(children_.begin(), children_.end(), [](const Child& a, const Child& b) {
      return a.spawner != b.spawner ? a.spawner < b.spawner : a.task->id() < b.task->id();
    });
  }

  void write() {
    const auto map = loop_.selector().get_map();
    const std::size_t descriptors = map.size() - (map.size() != 0);  // but for the loop's own
    lines_.add(0, "heddle: " + count(tasks_.size(), "task") + ", " + count(loop_.armed_timers(), "timer") +
                      ", " + count(descriptors, "descriptor") + " on " + loop_.selector().name());
    add_tree();
    add_idle();
    lines_.flush();
  }

 private:
  struct Child {
    std::uint64_t spawner;  // 0: it isn't there any more, or it was no task
    const TaskState* task;
  };

  // Deeper levels are indented no further: of a long chain each line would be longer than the one before.
  static constexpr std::size_t deepest_indent = 16;

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

  std::vector<Child>::const_iterator first_child_of(std::uint64_t spawner) const noexcept {
    return std::lower_bound(children_.begin(), children_.end(), spawner,
                            [](const Child& each, std::uint64_t id) { return each.spawner < id; });
  }

  // Without recursion, for a tree may be as deep as there are tasks.
  void add_tree() {
    struct Level {
      std::uint64_t spawner;
      std::vector<Child>::const_iterator next;
    };
    std::vector<Level> levels{{0, first_child_of(0)}};
    while (!levels.empty()) {
      Level& level = levels.back();
      if (level.next == children_.end() || level.next->spawner != level.spawner) {
        levels.pop_back();
        continue;
      }
      const Child& child = *level.next++;
      add(child, levels.size() - 1);
      levels.push_back({child.task->id(), first_child_of(child.task->id())});
    }
  }

  void add(const Child& child, std::size_t depth) {
    const TaskState& task = *child.task;
    const std::size_t indent = 2 * std::min(depth, deepest_indent);
    const std::string of = depth > deepest_indent ? ", of task " + std::to_string(child.spawner) : "";
    lines_.add(indent, label(task) + of + ": " + wait(loop_, task));
    for (const AsyncFrame* frame = task.leaf(); frame != nullptr; frame = frame->parent())
      lines_.add(indent + 4, "at " + place(frame->where));
    if (task.where().line() != 0) lines_.add(indent + 4, "spawned at " + place(task.where()));
    if (task.waits_at() == nullptr) return;
    if (const int fd = task.waits_at()->describe().fd; fd >= 0) waited_for_.push_back(fd);
  }

  void add_idle() {
    std::sort(waited_for_.begin(), waited_for_.end());
    bool first = true;
    for (const SelectorKey& key : loop_.selector().get_map()) {
      // (The loop's own wake-up has no data.)
      if (key.data == SelectorData() || std::binary_search(waited_for_.begin(), waited_for_.end(), key.fd))
        continue;
      if (std::exchange(first, false)) lines_.add(0, "nobody waits for");
      lines_.add(4, descriptor(loop_, key.fd, EventMask(0)));
    }
  }

  const Scheduler& loop_;
  Lines& lines_;
  std::vector<TaskState*> tasks_;  // by number
  std::vector<Child> children_;    // by who spawned them, then by number
  std::vector<int> waited_for_;
};

}  // namespace

void dump_tasks(const Scheduler& loop, void (*write)(void* to, std::string_view lines), void* to) {
  Lines lines(write, to);
  Tree(loop, lines).write();
}

std::string dump_tasks(const Scheduler& loop) {
  std::string text;
  dump_tasks(
      loop, [](void* to, std::string_view lines) { static_cast<std::string*>(to)->append(lines); }, &text);
  return text;
}

std::string dump_tasks() { return dump_tasks(running_loop()); }

void detail::print_tasks(const Scheduler& loop) {
  dump_tasks(
      loop, [](void*, std::string_view lines) { std::fwrite(lines.data(), 1, lines.size(), stderr); },
      nullptr);
}

}  // namespace heddle

void heddle_dump_tasks() noexcept {
  if (heddle::detail::current.loop != nullptr)
    heddle::detail::print_tasks(*heddle::detail::current.loop);
  else
    heddle::detail::LoopRegistry::for_each([](const heddle::detail::Scheduler& loop) {
      if (!loop.closed() && loop.is_in_its_process()) heddle::detail::print_tasks(loop);
    });
}
