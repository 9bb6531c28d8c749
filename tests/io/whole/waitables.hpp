// Waitable, waitable_kinds: every object that a task can wait at, each with a task's wait at it.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../../../runtime/core/task.hpp"

namespace heddle::test {

/// An object that tasks can wait at. What wait() returns uses it no more after its co_await.
class Waitable {
 public:
  Waitable() noexcept = default;
  Waitable(const Waitable&) = delete;
  Waitable& operator=(const Waitable&) = delete;
  virtual ~Waitable() = default;
  virtual Task<void> wait() = 0;
  /// Ends the wait of one, where that can be done from here.
  virtual void wake() = 0;
};

struct WaitableKind {
  std::string name;
  /// How a wait ends when the object goes: "done", or a part of the exception's what().
  std::string end;
  std::function<std::unique_ptr<Waitable>()> make;
};

/// All of them. A running loop is needed to make one.
const std::vector<WaitableKind>& waitable_kinds();

}  // namespace heddle::test
