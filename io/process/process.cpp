// Process: posix_spawn with what it needs, and the conversations with a child.
// SPDX-License-Identifier: MIT
#include "process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../../runtime/task/gather.hpp"
#include "../../runtime/task/timeout.hpp"
#include "child_process.hpp"

extern char** environ;

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

namespace heddle {

namespace {

void check_spawn(int error, const Command& command, const std::string& more = {}) {
  if (error != 0)
    throw std::system_error(error, std::generic_category(), "spawn \"" + command.program() + '"' + more);
}

std::string_view name_of(std::string_view variable) { return variable.substr(0, variable.find('=')); }

// What posix_spawn wants, and gives back.
class FileActions {
 public:
  FileActions() { check(::posix_spawn_file_actions_init(&actions_)); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }

  posix_spawn_file_actions_t* get() noexcept { return &actions_; }
  static void check(int error) {
    if (error != 0) throw std::system_error(error, std::generic_category(), "posix_spawn_file_actions");
  }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes {
 public:
  Attributes() { FileActions::check(::posix_spawnattr_init(&attributes_)); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  ~Attributes() { ::posix_spawnattr_destroy(&attributes_); }

  posix_spawnattr_t* get() noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

// A reference to a child, held by a coroutine.
class ChildReference {
 public:
  explicit ChildReference(ChildProcess& child) noexcept : child_(&child) { child.add_reference(); }
  ChildReference(ChildReference&& other) noexcept : child_(std::exchange(other.child_, nullptr)) {}
  ChildReference& operator=(ChildReference&&) = delete;
  ~ChildReference() {
    if (child_ != nullptr) child_->release();
  }
  ChildProcess* operator->() const noexcept { return child_; }

 private:
  ChildProcess* child_;
};

}  // namespace

Command& Command::env(const std::string& name, const std::string& value) {
  if (name.empty() || name.find('=') != std::string::npos)
    throw ValueError('"' + name + "\" is no name of an environment variable");
  std::erase_if(environment_, [&](const std::string& variable) { return name_of(variable) == name; });
  environment_.push_back(name + '=' + value);
  return *this;
}

Command& Command::by_default(Stdio input, Stdio output, Stdio error) noexcept {
  const Stdio defaults[] = {input, output, error};
  for (int i = 0; i < 3; ++i)
    if (stdio_[i].kind_ == Stdio::Kind::UNSET) stdio_[i] = defaults[i];
  return *this;
}

std::string to_string(const ExitStatus& status) {
  if (status.exited()) return "exited with " + std::to_string(status.code);
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 32)
  if (const char* const name = ::sigabbrev_np(status.signal)) return std::string("was ended by SIG") + name;
#endif
#endif
  return "was ended by signal " + std::to_string(status.signal);
}

// One start of a command: all that has to be closed again whether it succeeds or not.
class Launch {
 public:
  explicit Launch(const Command& command) : command_(command), system_(current_system()) {}

  void start() {
    check_strings();
    for (int i = 0; i < 3; ++i) prepare_stream(i);
    prepare_rest();
    spawn();
  }

  Fd ours[3];  // our ends of the pipes
  int pid = -1;
  Fd exit;  // readable when the process has ended
  bool thread_waits = false;

 private:
  void check_strings() const {
    for (const std::vector<std::string>* strings : {&command_.argv_, &command_.environment_})
      for (const std::string& string : *strings)
        if (string.find('\0') != std::string::npos)
          throw ValueError("spawn \"" + command_.program() + "\": a zero byte in an argument or variable");
    if (command_.directory_.find('\0') != std::string::npos)
      throw ValueError("spawn \"" + command_.program() + "\": a zero byte in the directory");
  }

  // The child's descriptors lie above 2, so that putting one in its place doesn't overwrite another.
  void take(int number, int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) check_spawn(errno, command_, " with fd " + std::to_string(fd));
    theirs_[number] = Fd(copy, kernel_system());
    FileActions::check(::posix_spawn_file_actions_adddup2(actions_.get(), copy, number));
  }

  void prepare_stream(int number) {
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
        check_spawn(-system_.pipe(ends), command_);
        const int theirs = number == 0 ? 0 : 1;
        ours[number] = Fd(ends[1 - theirs], system_);
        const Fd end(ends[theirs], system_);
        if (::fcntl(end.fileno(), F_SETFL, 0) < 0) check_spawn(errno, command_);  // it expects to block
        take(number, end.fileno());
        break;
      }
      case Stdio::Kind::DESCRIPTOR:
        take(number, stdio.fd_);
        break;
      case Stdio::Kind::OUTPUT:
        if (number != 2)
          throw ValueError("spawn \"" + command_.program() +
                           "\": only the error stream can go to the output");
        FileActions::check(::posix_spawn_file_actions_adddup2(actions_.get(), 1, 2));
        break;
    }
  }

  void prepare_rest() {
    if (!command_.directory_.empty()) {
#ifdef HEDDLE_SPAWN_CHDIR
      FileActions::check(::posix_spawn_file_actions_addchdir_np(actions_.get(), command_.directory_.c_str()));
#else
      check_spawn(ENOSYS, command_, " in another directory");
#endif
    }
#ifdef HEDDLE_SPAWN_CLOSEFROM
    if (command_.close_others_)
      FileActions::check(::posix_spawn_file_actions_addclosefrom_np(actions_.get(), 3));
#endif
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

  std::vector<char*> environment() const {
    std::vector<char*> all;
    if (command_.inherits_environment_)
      for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
        bool replaced = false;
        for (const std::string& own : command_.environment_)
          replaced = replaced || name_of(own) == name_of(*variable);
        if (!replaced) all.push_back(*variable);
      }
    for (const std::string& own : command_.environment_) all.push_back(const_cast<char*>(own.c_str()));
    all.push_back(nullptr);
    return all;
  }

  void spawn() {
    std::vector<char*> argv;
    for (const std::string& argument : command_.argv_) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> variables = environment();
    // What tells of its end is made sure of before there is anything to tell.
    int signal_end = -1;
    int reserved = system_.pidfd_open(::getpid());
    if (reserved == -EMFILE || reserved == -ENFILE || reserved == -ENOMEM) check_spawn(-reserved, command_);
    if (reserved < 0) {
      int ends[2];
      check_spawn(-system_.pipe(ends), command_);
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
      check_spawn(error, command_, directory.empty() ? directory : " in \"" + directory + '"');
    }
    try {
      if (thread_waits) {
        close_at_end_of(pid, signal_end);
      } else {
        const int fd = system_.pidfd_open(pid);
        // ESRCH: reaped already, because SIGCHLD is ignored. Waiting will say so.
        check_spawn(fd < 0 && fd != -ESRCH ? -fd : 0, command_);
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

  const Command& command_;
  System& system_;
  FileActions actions_;
  Attributes attributes_;
  Fd theirs_[3];
};

Process Process::spawn(const Command& command) {
  ChildProcess::reap_orphans();
  void* const room = ::operator new(sizeof(ChildProcess));
  Launch launch(command);
  try {
    launch.start();
  } catch (...) {
    ::operator delete(room);
    throw;
  }
  Process process;
  process.child_ = ::new (room) ChildProcess(launch.pid, std::move(launch.exit), launch.thread_waits,
                                             command.new_group_, command.on_drop_);
  process.input_ = WritePipe(std::move(launch.ours[0]));
  process.output_ = ReadPipe(std::move(launch.ours[1]));
  process.error_ = ReadPipe(std::move(launch.ours[2]));
  return process;
}

Process::Process(Process&& other) noexcept
    : child_(std::exchange(other.child_, nullptr)),
      input_(std::move(other.input_)),
      output_(std::move(other.output_)),
      error_(std::move(other.error_)) {}

Process& Process::operator=(Process&& other) noexcept {
  if (this == &other) return *this;
  drop();
  child_ = std::exchange(other.child_, nullptr);
  input_ = std::move(other.input_);
  output_ = std::move(other.output_);
  error_ = std::move(other.error_);
  return *this;
}

void Process::drop() noexcept {
  if (child_ == nullptr) return;
  if (child_->on_drop() != OnDrop::LEAVE) child_->kill(child_->on_drop() == OnDrop::KILL ? SIGKILL : SIGTERM);
  std::exchange(child_, nullptr)->release();
}

int Process::pid() const noexcept { return child_ != nullptr ? child_->pid() : -1; }

namespace {

Task<ExitStatus> wait_for(ChildReference child) {
  while (!child->reap()) co_await child->exit().readable();
  co_return child->status();
}

[[noreturn]] void throw_no_process() { throw std::logic_error("this Process is empty"); }

}  // namespace

HEDDLE_CORO_WRAPPER Task<ExitStatus> Process::wait() const {
  if (child_ == nullptr) throw_no_process();
  return wait_for(ChildReference(*child_));
}

std::optional<ExitStatus> Process::poll() const {
  if (child_ == nullptr) throw_no_process();
  if (!child_->reap()) return std::nullopt;
  return child_->status();
}

bool Process::kill(int signal) {
  if (child_ == nullptr) throw_no_process();
  const int result = child_->kill(signal);
  if (result == -ESRCH) return false;
  if (result < 0)
    throw std::system_error(
        -result, std::generic_category(),
        "kill process " + std::to_string(child_->pid()) + " with signal " + std::to_string(signal));
  return true;
}

bool Process::terminate() { return kill(SIGTERM); }

Task<ExitStatus> Process::stop(Timeout grace) {
  terminate();
  try {
    co_return co_await timeout(grace, wait());
  } catch (const TimeoutError&) {
    kill(SIGKILL);
  }
  co_return co_await wait();
}

namespace {

// A pipe that is closed in the end, however that comes: the process mustn't wait for a conversation that is
// over. It is the coroutine's parameter, because one that is cancelled before it starts has nothing else.
template <class End>
class Closing {
 public:
  explicit Closing(End& pipe) noexcept : pipe_(&pipe) {}
  Closing(Closing&& other) noexcept : pipe_(std::exchange(other.pipe_, nullptr)) {}
  Closing& operator=(Closing&&) = delete;
  ~Closing() {
    if (pipe_ != nullptr) pipe_->close();
  }
  End* operator->() const noexcept { return pipe_; }

 private:
  End* pipe_;
};

Task<void> feed(Closing<WritePipe> pipe, std::string input) {
  if (!pipe->is_open()) co_return;
  try {
    co_await pipe->write_all(input);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe) throw;
  }
}

Task<std::string> read_to_end(Closing<ReadPipe> pipe) {
  std::string all;
  if (!pipe->is_open()) co_return all;
  std::size_t size = 0;
  for (;;) {
    if (all.size() - size < 4096) all.resize(all.size() < 8192 ? 16384 : all.size() * 2);
    const std::size_t n = co_await pipe->read_some(std::span(all.data() + size, all.size() - size));
    if (n == 0) break;
    size += n;
  }
  all.resize(size);
  co_return all;
}

}  // namespace

Task<ProcessOutput> Process::communicate(std::string input) {
  if (!input.empty() && !input_.is_open())
    throw std::logic_error("communicate(): there is input, but the process's input is no pipe");
  auto results = co_await gather(feed(Closing(input_), std::move(input)), read_to_end(Closing(output_)),
                                 read_to_end(Closing(error_)));
  const ExitStatus status = co_await wait();
  ProcessOutput output{status, std::move(std::get<1>(results)), std::move(std::get<2>(results))};
  co_return output;
}

Task<ProcessOutput> run_process(Command command, std::string input) {
  command.by_default(input.empty() ? Stdio::null() : Stdio::pipe(), Stdio::pipe(), Stdio::pipe());
  Process process = Process::spawn(command);
  std::exception_ptr failure;
  try {
    co_return co_await process.communicate(std::move(input));
  } catch (...) {
    failure = std::current_exception();
  }
  {
    const ShieldScope shield;
    process.kill(SIGKILL);
    co_await process.wait();
  }
  std::rethrow_exception(failure);
}

}  // namespace heddle
