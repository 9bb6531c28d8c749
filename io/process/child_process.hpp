// ChildProcess: a child process until it is reaped, by a task that waits or by a thread. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "../../selector/process_mark.hpp"
#include "../operation/fd.hpp"
#include "command.hpp"

namespace heddle::detail {

/// Shared by a Process and the tasks that wait for it; references are counted on the loop's thread. If the
/// last one is released before the process was reaped, the reaper owns it: a thread that lives as long as
/// there are such children.
class ChildProcess {
 public:
  /// `exit_fd` is readable when the process has ended. `thread_waits`: it is no pidfd, but a pipe whose other
  /// end close_at_end_of() closes.
  ChildProcess(int pid, Fd exit_fd, bool thread_waits, bool group, OnDrop on_drop) noexcept
      : exit_(std::move(exit_fd)),
        pid_(pid),
        thread_waits_(thread_waits),
        group_(group),
        keeps_pid_(group),
        on_drop_(on_drop) {}
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void add_reference() noexcept { ++references_; }
  void release() noexcept;

  int pid() const noexcept { return pid_; }
  OnDrop on_drop() const noexcept { return on_drop_; }
  Fd& exit() noexcept { return exit_; }
  const ExitStatus& status() const noexcept { return status_; }
  /// True if it has ended; then it is reaped, but for the leader of a group: its number is the group's, which
  /// others may still be in, and belongs to no other process or group before it is reaped. Throws
  /// std::system_error (ECHILD).
  bool reap();
  /// 0, or the negative errno; -ESRCH if it has ended and leads no group, or is a sibling: in the child of a
  /// later fork().
  int kill(int signal) const noexcept;

  /// Reaps released children that have ended, and starts the reaper's thread if that failed before: to be
  /// called now and then.
  static void reap_orphans() noexcept;

 private:
  friend class Reaper;
  ~ChildProcess() = default;
  int try_reap() noexcept;  // 1: it has ended; 0: it runs; or a negative errno

  Fd exit_;
  ChildProcess* next_ = nullptr;  // in the reaper's list
  ExitStatus status_;
  int pid_;
  int error_ = 0;
  unsigned references_ = 1;
  bool ended_ = false;
  bool reaped_ = false;
  bool thread_waits_;
  bool group_;
  bool keeps_pid_;  // it isn't reaped yet when it has ended
  OnDrop on_drop_;
  ProcessMark process_;
};

/// Starts a thread that closes `signal_fd` when the process `pid` has ended, without reaping it. Throws
/// std::system_error.
void close_at_end_of(int pid, int signal_fd);

}  // namespace heddle::detail
