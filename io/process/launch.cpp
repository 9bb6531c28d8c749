// Launch: the streams, directory, signals and process group of a child, and the descriptor of its end.
// SPDX-License-Identifier: MIT
#include "launch.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <vector>

#include "../../selector/errors.hpp"
#include "child_process.hpp"

#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 29)
#define HEDDLE_SPAWN_CHDIR 1
#endif
#if __GLIBC_PREREQ(2, 34)
#define HEDDLE_SPAWN_CLOSEFROM 1
#endif
#elif defined(__APPLE__) || defined(__FreeBSD__)
#define HEDDLE_SPAWN_CHDIR 1
#endif

namespace heddle::detail {

void FileActions::check(int error) {
  if (error != 0) throw std::system_error(error, std::generic_category(), "posix_spawn_file_actions");
}

void Launch::check(int error, const std::string& details) const {
  if (error != 0)
    throw std::system_error(error, std::generic_category(), "spawn \"" + command_.program() + '"' + details);
}

void Launch::start() {
  check_strings();
  for (int i = 0; i < 3; ++i) prepare_stream(i);
  prepare_directory();
  prepare_other_descriptors();
  prepare_attributes();
  spawn();
}

void Launch::check_strings() const {
  for (const std::vector<std::string>* strings : {&command_.argv_, &command_.environment_})
    for (const std::string& string : *strings)
      if (string.find('\0') != std::string::npos)
        throw ValueError("spawn \"" + command_.program() + "\": a zero byte in an argument or variable");
  if (command_.directory_.find('\0') != std::string::npos)
    throw ValueError("spawn \"" + command_.program() + "\": a zero byte in the directory");
}

// By way of a duplicate above 2: a dup2() straight to `number` could overwrite another stream's source.
void Launch::move_to(int number, int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) check(errno, " with fd " + std::to_string(fd));
  theirs_[number] = Fd(copy, kernel_system());
  FileActions::check(::posix_spawn_file_actions_adddup2(actions_.get(), copy, number));
}

void Launch::prepare_stream(int number) {
  const Stdio& stdio = command_.stdio_[number];
  switch (stdio.kind_) {
    case Stdio::Kind::UNSET:
    case Stdio::Kind::INHERIT:
      break;
    case Stdio::Kind::NONE:
      FileActions::check(::posix_spawn_file_actions_addopen(actions_.get(), number, "/dev/null",
                                                            number == 0 ? O_RDONLY : O_WRONLY, 0));
      break;
    case Stdio::Kind::PIPE: {
      int ends[2];
      check(-system_.pipe(ends));
      const int theirs = number == 0 ? 0 : 1;
      ours[number] = Fd(ends[1 - theirs], system_);
      const Fd end(ends[theirs], system_);
      if (::fcntl(end.fileno(), F_SETFL, 0) < 0) check(errno);  // programs expect blocking streams
      move_to(number, end.fileno());
      break;
    }
    case Stdio::Kind::DESCRIPTOR:
      move_to(number, stdio.fd_);
      break;
    case Stdio::Kind::OUTPUT:
      if (number != 2)
        throw ValueError("spawn \"" + command_.program() + "\": only the error stream can go to the output");
      FileActions::check(::posix_spawn_file_actions_adddup2(actions_.get(), 1, 2));
      break;
  }
}

void Launch::prepare_directory() {
  if (command_.directory_.empty()) return;
#ifdef HEDDLE_SPAWN_CHDIR
  FileActions::check(::posix_spawn_file_actions_addchdir_np(actions_.get(), command_.directory_.c_str()));
#else
  check(ENOSYS, " in another directory");
#endif
}

// Where posix_spawn has no closefrom, what isn't close-on-exec stays open in the child.
void Launch::prepare_other_descriptors() {
#ifdef HEDDLE_SPAWN_CLOSEFROM
  if (command_.close_others_)
    FileActions::check(::posix_spawn_file_actions_addclosefrom_np(actions_.get(), 3));
#endif
}

void Launch::prepare_attributes() {
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGCHLD}) sigaddset(&defaults, signal);
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (command_.new_group_) flags |= POSIX_SPAWN_SETPGROUP;
  FileActions::check(::posix_spawnattr_setsigmask(attributes_.get(), &none));
  FileActions::check(::posix_spawnattr_setsigdefault(attributes_.get(), &defaults));
  FileActions::check(::posix_spawnattr_setpgroup(attributes_.get(), 0));
  FileActions::check(::posix_spawnattr_setflags(attributes_.get(), static_cast<short>(flags)));
}

void Launch::spawn() {
  std::vector<char*> argv;
  for (const std::string& argument : command_.argv_) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> variables = command_.environment_block();
  // The descriptors for noticing the end are reserved first: a later failure means killing the child.
  int signal_end = -1;
  int reserved = system_.pidfd_open(::getpid());
  if (reserved == -EMFILE || reserved == -ENFILE || reserved == -ENOMEM) check(-reserved);
  if (reserved < 0) {
    int ends[2];
    check(-system_.pipe(ends));
    exit = Fd(ends[0], system_);
    signal_end = ends[1];
    thread_waits = true;
  }
  const int error =
      ::posix_spawnp(&pid, argv[0], actions_.get(), attributes_.get(), argv.data(), variables.data());
  if (reserved >= 0) system_.close(reserved);
  if (error != 0) {
    if (signal_end >= 0) system_.close(signal_end);
    const std::string& directory = command_.directory_;
    check(error, directory.empty() ? directory : " in \"" + directory + '"');
  }
  try {
    if (thread_waits) {
      close_at_end_of(pid, signal_end);
    } else {
      const int fd = system_.pidfd_open(pid);
      // ESRCH: the kernel has reaped it already, because SIGCHLD is ignored. wait() will fail with ECHILD.
      check(fd < 0 && fd != -ESRCH ? -fd : 0);
      exit = Fd(fd == -ESRCH ? -1 : fd, system_);
    }
  } catch (...) {
    if (signal_end >= 0) system_.close(signal_end);
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw;
  }
}

}  // namespace heddle::detail
