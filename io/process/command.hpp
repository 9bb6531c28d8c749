// Command: which program to run, and how; ExitStatus: how it ended.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <concepts>
#include <string>
#include <utility>
#include <vector>

HEDDLE_HEADER_BEGIN

namespace heddle::detail {
class Launch;
}  // namespace heddle::detail

namespace heddle {

/// Where one of the three standard streams of a new process comes from or goes to.
class Stdio {
 public:
  /// This process's own stream, shared.
  static constexpr Stdio inherit() noexcept { return Stdio(Kind::INHERIT); }
  /// /dev/null.
  static constexpr Stdio null() noexcept { return Stdio(Kind::NONE); }
  /// A new pipe; the Process owns its other end.
  static constexpr Stdio pipe() noexcept { return Stdio(Kind::PIPE); }
  /// A descriptor that has to be open when the process is spawned. The caller keeps it.
  static constexpr Stdio descriptor(int fd) noexcept { return Stdio(Kind::DESCRIPTOR, fd); }
  /// For error(): the same as output().
  static constexpr Stdio same_as_output() noexcept { return Stdio(Kind::OUTPUT); }

 private:
  friend class Command;
  friend class detail::Launch;
  enum class Kind : unsigned char { UNSET, INHERIT, NONE, PIPE, DESCRIPTOR, OUTPUT };

  explicit constexpr Stdio(Kind kind, int fd = -1) noexcept : kind_(kind), fd_(fd) {}

  Kind kind_;
  int fd_;
};

namespace detail {

/// What happens to a process that still runs when its Process object is destroyed. It is reaped in any case.
enum class OnDrop : unsigned char {
  KILL,       ///< SIGKILL
  TERMINATE,  ///< SIGTERM, and no more
  LEAVE,      ///< it runs on
};

}  // namespace detail

/// A program, its arguments, and what it starts with. May be used any number of times.
///
///     Command("git", "log", "-1").cwd("/src").output(Stdio::pipe())
class HEDDLE_EXPORT Command {
 public:
  /// `program` is searched for in this process's PATH unless it has a slash in it. The arguments are those
  /// after argv[0], which is `program`.
  template <std::convertible_to<std::string>... A>
  explicit Command(std::string program, A&&... arguments) : argv_{std::move(program)} {
    (argv_.push_back(std::forward<A>(arguments)), ...);
  }
  /// `sh -c script`.
  static Command shell(std::string script) { return Command("/bin/sh", "-c", std::move(script)); }

  Command& arg(std::string argument) {
    argv_.push_back(std::move(argument));
    return *this;
  }
  Command& args(const std::vector<std::string>& arguments) {
    argv_.insert(argv_.end(), arguments.begin(), arguments.end());
    return *this;
  }
  /// Sets a variable in addition to this process's environment. Throws ValueError for an empty name, or one
  /// with a '='.
  Command& env(const std::string& name, const std::string& value);
  /// Begins with an empty environment instead of this process's.
  Command& clear_env() noexcept {
    environment_.clear();
    inherits_environment_ = false;
    return *this;
  }
  /// The directory it starts in. A relative path of a program, with a slash in it, is resolved from there.
  Command& cwd(std::string directory) {
    directory_ = std::move(directory);
    return *this;
  }
  /// Its standard input, output and error: inherited unless said otherwise.
  Command& input(Stdio stdio) noexcept {
    stdio_[0] = stdio;
    return *this;
  }
  Command& output(Stdio stdio) noexcept {
    stdio_[1] = stdio;
    return *this;
  }
  Command& error(Stdio stdio) noexcept {
    stdio_[2] = stdio;
    return *this;
  }
  /// It leads a process group of its own: signals sent by its Process go to the whole group, and those of the
  /// terminal (Ctrl-C) don't reach it. It stays a zombie from its end until its Process is gone (and nobody
  /// waits for it), so that the group's number can't become another's.
  Command& new_group(bool on = true) noexcept {
    new_group_ = on;
    return *this;
  }
  /// True, the default: only the standard streams are open in it. False: also what isn't close-on-exec here.
  Command& close_others(bool on) noexcept {
    close_others_ = on;
    return *this;
  }
  Command& on_drop(detail::OnDrop what) noexcept {
    on_drop_ = what;
    return *this;
  }
  /// Sets those streams that weren't set yet.
  Command& by_default(Stdio input, Stdio output, Stdio error) noexcept;

  const std::string& program() const noexcept { return argv_.front(); }

 private:
  friend class detail::Launch;
  friend class Process;

  /// What execve(2) takes: it points into this object and into `environ`.
  std::vector<char*> environment_block() const;

  std::vector<std::string> argv_;
  std::vector<std::string> environment_;  // "NAME=value"
  std::string directory_;
  Stdio stdio_[3]{Stdio(Stdio::Kind::UNSET), Stdio(Stdio::Kind::UNSET), Stdio(Stdio::Kind::UNSET)};
  detail::OnDrop on_drop_ = detail::OnDrop::KILL;
  bool inherits_environment_ = true;
  bool new_group_ = false;
  bool close_others_ = true;
};

/// How a process ended: by exit with `code`, or by a signal.
struct HEDDLE_EXPORT ExitStatus {
  int code = 0;    ///< 0 to 255; -1 when a signal ended it
  int signal = 0;  ///< 0 when it exited

  bool exited() const noexcept { return signal == 0; }
  bool signalled() const noexcept { return signal != 0; }
  /// It exited with 0.
  bool success() const noexcept { return signal == 0 && code == 0; }
  bool operator==(const ExitStatus&) const noexcept = default;
};

/// "exited with 3", "was ended by SIGTERM".
HEDDLE_EXPORT std::string to_string(const ExitStatus& status);

}  // namespace heddle

HEDDLE_HEADER_END
