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
#include "../operation/byte_block.hpp"
#include "child_process.hpp"
#include "launch.hpp"

namespace heddle {

using namespace detail;

namespace {

// A coroutine's reference to a child.
class ChildReference {
 public:
  explicit ChildReference(ChildProcess& child) noexcept : child_(&child) { child.add_reference(); }
  ChildReference(const ChildReference& other) noexcept : ChildReference(*other.child_) {}
  ChildReference(ChildReference&& other) noexcept : child_(std::exchange(other.child_, nullptr)) {}
  ChildReference& operator=(ChildReference&&) = delete;
  ~ChildReference() {
    if (child_ != nullptr) child_->release();
  }
  ChildProcess* operator->() const noexcept { return child_; }
  ChildProcess& operator*() const noexcept { return *child_; }

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

namespace {

bool send_signal(const ChildProcess& child, int signal) {
  const int result = child.kill(signal);
  if (result == -ESRCH) return false;
  if (result < 0)
    throw std::system_error(
        -result, std::generic_category(),
        "kill process " + std::to_string(child.pid()) + " with signal " + std::to_string(signal));
  return true;
}

Task<ExitStatus> stop_child(ChildReference child, Timeout grace) {
  send_signal(*child, SIGTERM);
  try {
    co_return co_await timeout(grace, wait_for(child));
  } catch (const TimeoutError&) {
    send_signal(*child, SIGKILL);
  }
  co_return co_await wait_for(child);
}

}  // namespace

bool Process::kill(int signal) {
  if (child_ == nullptr) throw_no_process();
  return send_signal(*child_, signal);
}

bool Process::terminate() { return kill(SIGTERM); }

HEDDLE_CORO_WRAPPER Task<ExitStatus> Process::stop(Timeout grace) {
  if (child_ == nullptr) throw_no_process();
  return stop_child(ChildReference(*child_), grace);
}

namespace {

// The pipes are parameters, because a coroutine may be destroyed before its body starts; each is closed when
// its coroutine is done with it, so that the process sees the end.

Task<void> feed(WritePipe pipe, std::string input) {
  if (!pipe.is_open()) co_return;
  try {
    co_await pipe.write_all(input);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::broken_pipe) throw;
  }
}

Task<std::string> read_to_end(ReadPipe pipe) {
  std::string all;
  if (!pipe.is_open()) co_return all;
  const detail::ByteBlock piece(65536);  // as much as a pipe has
  while (const std::size_t size = co_await pipe.read_some(piece.chars()))
    all.append(piece.chars().data(), size);
  co_return all;
}

Task<ProcessOutput> communicate_with(ChildReference child, WritePipe to, ReadPipe output, ReadPipe error,
                                     std::string input) {
  auto results = co_await gather(feed(std::move(to), std::move(input)), read_to_end(std::move(output)),
                                 read_to_end(std::move(error)));
  const ExitStatus status = co_await wait_for(child);
  ProcessOutput all{status, std::move(std::get<1>(results)), std::move(std::get<2>(results))};
  co_return all;
}

}  // namespace

HEDDLE_CORO_WRAPPER Task<ProcessOutput> Process::communicate(std::string input) {
  if (child_ == nullptr) throw_no_process();
  if (!input.empty() && !input_.is_open())
    throw std::logic_error("communicate(): there is input, but the process's input is no pipe");
  return communicate_with(ChildReference(*child_), std::move(input_), std::move(output_), std::move(error_),
                          std::move(input));
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
