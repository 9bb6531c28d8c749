// Process: a child process, its standard streams, and waiting for its end.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <optional>
#include <string>

#include "../../runtime/core/task.hpp"
#include "../../selector/timeout.hpp"
#include "../file/pipe.hpp"
#include "command.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

class ChildProcess;

}  // namespace detail

/// How a process ended, and what it wrote.
struct ProcessOutput {
  ExitStatus status;
  std::string output;
  std::string error;
};

/// A child process. Move-only; it belongs to the loop on which it is first waited for. If it still runs when
/// its Process is destroyed, Command::on_drop() decides (SIGKILL unless set), and it is reaped in any case.
/// Nothing else may reap it: no wait(-1), and SIGCHLD must not be ignored (waiting fails with ECHILD then).
class HEDDLE_EXPORT Process {
 public:
  /// Starts `command` by posix_spawn(3), with no signal blocked and SIGPIPE, SIGXFSZ and SIGCHLD at their
  /// defaults. Throws std::system_error that names the program (ENOENT, EACCES, EMFILE, ...), ValueError for
  /// a zero byte in a string.
  static Process spawn(const Command& command);

  Process() noexcept = default;
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process() { drop(); }

  /// Its process id, also after its end (when it may have been reused, unless it leads a group); -1 for an
  /// empty Process.
  int pid() const noexcept;

  /// Our ends of its standard streams: those that are Stdio::pipe(); the others are closed.
  WritePipe& input() noexcept { return input_; }
  ReadPipe& output() noexcept { return output_; }
  ReadPipe& error() noexcept { return error_; }

  /// Waits for its end. Any number of tasks may wait, also after the end, and while this object is moved or
  /// destroyed. It doesn't read the streams: a process that fills a pipe that isn't read doesn't end.
  /// Cancel-safe. Throws std::system_error (ECHILD when it was reaped elsewhere).
  Task<ExitStatus> wait() const;
  /// The same without waiting; nullopt while it runs.
  std::optional<ExitStatus> poll() const;

  /// Sends a signal, to its group if it leads one (Command::new_group): to those who are left in it, also
  /// after its own end. False if it has ended and leads none, and in the child of a fork(), whose sibling it
  /// is. Throws std::system_error (EINVAL, EPERM).
  bool kill(int signal);
  /// SIGTERM.
  bool terminate();
  /// SIGTERM, and SIGKILL if it still runs after `grace`; waits for its end, also while this object is moved
  /// or destroyed. Cancelled, it may run on.
  Task<ExitStatus> stop(Timeout grace);

  /// Writes `input` to it and closes its standard input, reads output and error to their ends, all at the
  /// same time, and waits for its end. Only streams that are pipes take part; std::logic_error when there is
  /// input, but no pipe for it. It is no error when the process doesn't read all of its input. Cancelled,
  /// what was read is lost, the pipes are closed and the process runs on. It takes the pipes over, so this
  /// object may be moved or destroyed meanwhile. (Streams that grandchildren have inherited end when the last
  /// of them does.)
  Task<ProcessOutput> communicate(std::string input = {});

 private:
  void drop() noexcept;

  detail::ChildProcess* child_ = nullptr;
  WritePipe input_;
  ReadPipe output_;
  ReadPipe error_;
};

/// Runs `command` to its end with `input`, and yields its status, output and error. Streams that are set in
/// the command are left as they are set. Cancelled, it kills the process and waits for its end first. Throws
/// what Process::spawn() throws; a status other than success is no exception.
HEDDLE_EXPORT Task<ProcessOutput> run_process(Command command, std::string input = {});

}  // namespace heddle

HEDDLE_HEADER_END
