// TaskExtras: what few tasks have: a name, locals, groups of their own, the trace of their exception. For
// .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "frame_allocator.hpp"
#include "report.hpp"

namespace heddle::detail {

class Shield;
struct TaskLocals;
class TaskObserver;
class TaskOwner;

struct TaskExtras : FrameAllocated {
  std::string name;
  TaskLocals* locals = nullptr;
  TaskOwner* groups = nullptr;            ///< innermost first
  Shield* innermost_shield = nullptr;     ///< see StopRequests
  TaskObserver* last_observer = nullptr;  ///< as in a task without extras
  AsyncTrace trace;
};

}  // namespace heddle::detail
