// Reports and traces: places are collected while an exception goes from coroutine to coroutine.
// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "current.hpp"
#include "exception_group.hpp"
#include "scheduler.hpp"
#include "task_state.hpp"
#include "trace.hpp"

namespace heddle {

using namespace detail;

namespace {

// Beyond that many places a trace is cut.
constexpr std::size_t longest_trace = 32;

struct InFlight {
  // Which one: never dereferenced.
  const void* exception = nullptr;
  // The same, until the turn is over: as long as it is kept, no other can come to lie where it was.
  std::exception_ptr kept;
  const AsyncFrame* next = nullptr;  // the coroutine that it comes to next
  bool resumed = false;              // its trace so far is another task's
  std::size_t count = 0;
  std::source_location places[longest_trace];

  void append(std::source_location place) noexcept {
    if (count < longest_trace && place.line() != 0) places[count++] = place;
  }
};

// Behind a pointer: static TLS is scarce where heddle is in a library that is loaded later.
constinit thread_local InFlight* in_flight = nullptr;
constinit thread_local bool thread_ends = false;

// nullptr: no memory, or the thread is ending; then there are no traces.
InFlight* flight_on_thread() noexcept {
  struct Life {
    ~Life() {
      thread_ends = true;
      InFlight* const flight = std::exchange(in_flight, nullptr);
      if (flight == nullptr) return;
      flight->~InFlight();
      std::free(flight);
    }
  };
  if (in_flight == nullptr && !thread_ends) {
    static thread_local const Life life;
    // Not operator new's: it is no leak of the code that happened to throw first, and that a test watches.
    if (void* const memory = std::malloc(sizeof(InFlight))) in_flight = ::new (memory) InFlight;
  }
  return in_flight;
}

// An exception_ptr is a pointer to the exception.
const void* identity(const std::exception_ptr& error) noexcept {
  static_assert(sizeof(error) == sizeof(const void*));
  const void* exception = nullptr;
  std::memcpy(&exception, &error, sizeof exception);
  return exception;
}

void print_error(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    std::fprintf(stderr, ": %s", exception.what());
  } catch (...) {
    std::fputs(": an exception that is no std::exception", stderr);
  }
}

// Those of a group came each by its own way.
void print_members(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const ExceptionGroup& group) {
    for (std::size_t i = 0; i < group.exceptions().size(); ++i) {
      std::fprintf(stderr, "  error %zu", i + 1);
      print_error(group.exceptions()[i]);
      std::fputc('\n', stderr);
      print_trace(group.traces()[i]);
    }
  } catch (...) {
  }
}

}  // namespace

namespace detail {

namespace {

// Returns what was kept before, to be destroyed when the rest is in order: that may be the user's code.
[[nodiscard]] std::exception_ptr keep(InFlight& flight, const std::exception_ptr& error) noexcept {
  flight.exception = identity(error);
  if (current.loop == nullptr) return std::exchange(flight.kept, nullptr);
  current.keeps_error = true;
  current.call_loop();
  return std::exchange(flight.kept, error);
}

}  // namespace

void note_leaving(const AsyncFrame& frame) noexcept {
  const std::exception_ptr error = std::current_exception();
  InFlight* const on_thread = flight_on_thread();
  if (on_thread == nullptr) return;
  InFlight& flight = *on_thread;
  const bool same = error == flight.kept;
  if (same && &frame == flight.next) {
    flight.next = frame.parent();
    return;
  }
  if (!same || !flight.resumed) flight.count = 0;
  const std::exception_ptr before = keep(flight, error);
  flight.next = frame.parent();
  flight.resumed = false;
  for (const AsyncFrame* each = &frame; each != nullptr; each = each->parent()) flight.append(each->where);
  if (current.task != nullptr) flight.append(current.task->where());
}

AsyncTrace trace_in_flight(const std::exception_ptr& error) noexcept {
  if (in_flight == nullptr || identity(error) != in_flight->exception) return {};
  const InFlight& flight = *in_flight;
  try {
    return AsyncTrace(flight.places, flight.places + flight.count);
  } catch (const std::bad_alloc&) {
    return {};
  }
}

void resume_trace(const std::exception_ptr& error, std::span<const std::source_location> trace) noexcept {
  InFlight* const on_thread = flight_on_thread();
  if (on_thread == nullptr) return;
  InFlight& flight = *on_thread;
  const std::exception_ptr before = keep(flight, error);
  flight.next = nullptr;
  flight.resumed = true;
  flight.count = std::min(trace.size(), longest_trace);
  std::copy_n(trace.begin(), flight.count, flight.places);
}

void end_trace() noexcept {
  current.keeps_error = false;
  if (in_flight == nullptr) return;
  in_flight->exception = nullptr;
  const std::exception_ptr before = std::exchange(in_flight->kept, nullptr);
}

namespace {

std::terminate_handler terminate_before = nullptr;

[[noreturn]] void print_and_terminate() {
  if (const std::exception_ptr error = std::current_exception()) {
    const AsyncTrace trace = trace_in_flight(error);
    if (!trace.empty())
      std::fputs("heddle: an exception that nobody has caught came out of a task\n", stderr);
    print_trace(trace);
    print_members(error);
  }
  if (terminate_before != nullptr) terminate_before();
  std::abort();
}

}  // namespace

void trace_at_terminate() noexcept {
  static constinit std::atomic_flag done;
  if (!done.test_and_set()) terminate_before = std::set_terminate(&print_and_terminate);
}

void deliver_report(const Report& report) noexcept {
  if (current.loop != nullptr)
    current.loop->report(report);
  else
    print_report(report);
}

}  // namespace detail

AsyncTrace async_trace() {
  const std::exception_ptr error = std::current_exception();
  return error ? trace_in_flight(error) : AsyncTrace();
}

void print_trace(std::span<const std::source_location> trace) noexcept {
  for (const std::source_location& place : trace)
    std::fprintf(stderr, "    at %s:%u in %s\n", place.file_name(), static_cast<unsigned>(place.line()),
                 place.function_name());
}

void print_report(const Report& report) noexcept {
  std::fprintf(stderr, "heddle: %.*s", static_cast<int>(report.message.size()), report.message.data());
  if (report.error) print_error(report.error);
  if (report.task_id != 0)
    std::fprintf(stderr, " (task %llu", static_cast<unsigned long long>(report.task_id));
  if (!report.task_name.empty())
    std::fprintf(stderr, "%s\"%.*s\"", report.task_id != 0 ? " " : " (",
                 static_cast<int>(report.task_name.size()), report.task_name.data());
  std::fputs(report.task_id != 0 || !report.task_name.empty() ? ")\n" : "\n", stderr);
  if (!report.trace.empty())
    print_trace(report.trace);
  else if (report.where.line() != 0)
    print_trace(std::span(&report.where, 1));
  if (report.error) print_members(report.error);
}

}  // namespace heddle
