// Process: waiting for a child, signals to it, and communicate().
// SPDX-License-Identifier: MIT
#include "process.hpp"

#include <signal.h>

#include <cerrno>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "../../runtime/task/gather.hpp"
#include "../../runtime/task/timeout.hpp"
#include "child_process.hpp"
#include "launch.hpp"

namespace heddle {

using namespace detail;

namespace {

// A coroutine's reference to a child.
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

// Closes a pipe when its coroutine is done with it, so that the process sees the end. To be a parameter: the
// coroutine may be destroyed before its body starts.
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
  detail::ShieldScope shield(detail::ShieldScope::NOT_YET);  // while there is no process to look after
  Process process = Process::spawn(command);
  std::exception_ptr failure;
  try {
    co_return co_await process.communicate(std::move(input));
  } catch (...) {
    failure = std::current_exception();
  }
  shield.raise();
  process.kill(SIGKILL);
  co_await process.wait();
  shield.lower();
  std::rethrow_exception(failure);
}

}  // namespace heddle
