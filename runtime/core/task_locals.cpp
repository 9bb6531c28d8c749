// Task locals: a small table that tasks share until one of them changes it.
// SPDX-License-Identifier: MIT
#include "task_locals.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "local_value.hpp"
#include "operation.hpp"
#include "task_extras.hpp"
#include "task_state.hpp"

namespace heddle::detail {

LocalValue::~LocalValue() = default;

void LocalValue::add_reference() noexcept {
  std::atomic_ref(references_).fetch_add(1, std::memory_order_relaxed);
}

void LocalValue::release() noexcept {
  if (std::atomic_ref(references_).fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

struct TaskLocals {
  struct Entry {
    const void* key;
    LocalValue* value;
  };

  explicit TaskLocals(std::vector<Entry> its) : entries(std::move(its)) {
    for (const Entry& entry : entries) entry.value->add_reference();
  }
  TaskLocals(const TaskLocals&) = delete;
  TaskLocals& operator=(const TaskLocals&) = delete;
  ~TaskLocals() {
    for (const Entry& entry : entries) entry.value->release();
  }

  std::vector<Entry>::iterator find(const void* key) noexcept {
    return std::find_if(entries.begin(), entries.end(),
                        [key](const Entry& entry) { return entry.key == key; });
  }

  std::atomic<unsigned> references = 1;  // calls on other threads have some, too
  std::vector<Entry> entries;            // unchanged while there is more than one
};

TaskLocals* share_locals(TaskLocals* locals) noexcept {
  if (locals != nullptr) locals->references.fetch_add(1, std::memory_order_relaxed);
  return locals;
}

void release_locals(TaskLocals* locals) noexcept {
  if (locals != nullptr && locals->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete locals;
}

namespace {

constinit thread_local TaskLocals* locals_on_thread = nullptr;

}  // namespace

LocalsOnThread::LocalsOnThread(TaskLocals* locals) noexcept { locals_on_thread = locals; }
LocalsOnThread::~LocalsOnThread() { locals_on_thread = nullptr; }

TaskLocals* current_locals() noexcept {
  if (current.task == nullptr) return locals_on_thread;
  return current.task->extras() != nullptr ? current.task->extras()->locals : nullptr;
}

LocalValue* find_local(const void* key) noexcept {
  TaskLocals* const locals = current_locals();
  if (locals == nullptr) return nullptr;
  const auto found = locals->find(key);
  return found != locals->entries.end() ? found->value : nullptr;
}

LocalValue* exchange_local(const void* key, LocalValue* value) try {
  if (current.task == nullptr) throw_no_task("TaskLocal::set()");
  TaskLocals*& locals = current.task->make_locals();
  if (locals == nullptr) {
    if (value == nullptr) return nullptr;
    locals = new TaskLocals({});
  } else if (locals->references.load(std::memory_order_acquire) > 1) {
    auto* const own = new TaskLocals(locals->entries);
    release_locals(std::exchange(locals, own));
  }
  const auto found = locals->find(key);
  if (found == locals->entries.end()) {
    if (value != nullptr) locals->entries.push_back({key, value});
    return nullptr;
  }
  LocalValue* const before = found->value;
  if (value != nullptr)
    found->value = value;
  else
    locals->entries.erase(found);
  return before;
} catch (...) {
  if (value != nullptr) value->release();
  throw;
}

LocalValue* restore_local(const void* key, LocalValue* value) noexcept try {
  return exchange_local(key, value);
} catch (...) {
  return nullptr;
}

}  // namespace heddle::detail
