// TaskLocals: the values of a task's locals, as tasks hand them on. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

namespace heddle::detail {

struct TaskLocals;

/// nullptr stays nullptr.
TaskLocals* share_locals(TaskLocals* locals) noexcept;
void release_locals(TaskLocals* locals) noexcept;
/// Those of the current task, or those that LocalsOnThread gives the thread.
TaskLocals* current_locals() noexcept;

/// While it lives, this thread, on which no task runs, sees these locals.
class LocalsOnThread {
 public:
  explicit LocalsOnThread(TaskLocals* locals) noexcept;
  LocalsOnThread(const LocalsOnThread&) = delete;
  LocalsOnThread& operator=(const LocalsOnThread&) = delete;
  ~LocalsOnThread();
};

}  // namespace heddle::detail
