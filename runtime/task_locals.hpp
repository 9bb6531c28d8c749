// TaskLocals: the values of a task's locals, as tasks hand them on. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

namespace heddle {

struct TaskLocals;

/// nullptr stays nullptr.
TaskLocals* share_locals(TaskLocals* locals) noexcept;
void release_locals(TaskLocals* locals) noexcept;

}  // namespace heddle
