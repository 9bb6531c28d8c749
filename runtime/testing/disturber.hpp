// Disturber: counts the places of a run, and disturbs it at one of them. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <exception>
#include <string>

#include "../core/injection.hpp"
#include "../core/loop_observer.hpp"
#include "../core/task_state.hpp"
#include "testing.hpp"

namespace heddle::detail {

/// Told by the loop of each turn, it counts the places at which a task can be disturbed, and asks that task
/// to stop, or lets its operation fail, at place `number` (0: at none). One a thread.
class Disturber final : public LoopObserver {
 public:
  Disturber(Disturbance disturbance, std::uint64_t number, std::exception_ptr error,
            const DisturbOptions& options) noexcept;
  Disturber(const Disturber&) = delete;
  Disturber& operator=(const Disturber&) = delete;
  ~Disturber();

  /// The scenario's own task: nothing is disturbed before it is known.
  void set_main(const TaskState& main) noexcept { main_ = &main; }
  /// Nothing is to be disturbed any more.
  void stop() noexcept { main_ = nullptr; }
  /// Where it has disturbed, in words.
  const std::string& place() const noexcept { return place_; }
  bool has_disturbed() const noexcept { return done_; }
  /// For DisturbOptions::from_outside: to be called between two turns of the loop.
  void disturb_if_due() noexcept;

  bool before_step(Runnable& next) noexcept override;
  void after_step(TaskState& task) noexcept override;

 private:
  bool can_disturb(const TaskState& task) const noexcept;
  void visit(TaskState& task, const char* state) noexcept;
  void disturb(TaskState& task) noexcept;

  Disturbance disturbance_;
  const DisturbOptions& options_;
  const TaskState* main_ = nullptr;
  TaskState* due_ = nullptr;  // the task to be disturbed when no turn runs
  std::uint64_t left_;        // places before the one, and that itself
  std::string place_;
  Injection injection_;
  bool done_ = false;
};

}  // namespace heddle::detail
