// cancel_at_every_suspension: runs a scenario again and again, cancelling it at its 1st, 2nd, 3rd ...
// suspension until it comes to its end undisturbed.
// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <source_location>
#include <thread>
#include <utility>

#include "../../runtime/loop/event_loop.hpp"
#include "../../runtime/task/join_handle.hpp"
#include "../../runtime/task/sleep.hpp"
#include "../selector/files.hpp"
#include "catch.hpp"

namespace heddle::test {

/// Who asks the task to stop.
enum class Canceller {
  CALLBACK,  ///< a callback of its loop
  EMBEDDER,  ///< the thread of the loop, between two turns
};

struct CancelCount {
  int points = 0;     ///< where the scenario was cancelled
  int cancelled = 0;  ///< how often it ended by that
};

/// `scenario()` returns a fresh Task<void>. `progress()` yields a number that changes with what the scenario
/// does (system calls, say), to tell apart suspensions at the same co_await. `check(cancelled)` is called
/// when the loop has closed. Descriptors are counted before and after each run.
template <class Scenario, class Progress, class Check>
CancelCount cancel_at_every_suspension(const LoopOptions& options, Canceller canceller, Scenario scenario,
                                       Progress progress, Check check) {
  struct Point {
    const detail::AsyncFrame* leaf;
    unsigned line;
    unsigned column;
    long progress;
    bool operator==(const Point&) const = default;
  };
  struct Round {
    EventLoop& loop;
    Scenario& scenario;
    Progress& measure;
    Canceller canceller;
    int left;  // suspensions until it is cancelled
    std::optional<JoinHandle<void>> handle = std::nullopt;
    Point seen{};
    bool due = false;

    void look() {
      if (!handle) handle = spawn(scenario());
      if (handle->done()) return;
      const detail::AsyncFrame* const leaf = handle->state().leaf();
      const Point now{leaf, leaf ? leaf->where.line() : 0, leaf ? leaf->where.column() : 0, measure()};
      if (!due && now != seen) {
        seen = now;
        due = left-- == 0;
        if (due && canceller == Canceller::CALLBACK) handle->cancel();
      }
      // In the queue between any two steps of the task.
      if (canceller == Canceller::CALLBACK) loop.call_soon([this] { look(); });
    }
  };

  CancelCount count;
  for (int n = 0;; ++n) {
    INFO("cancelled at suspension " << n);
    const int descriptors = open_descriptors(256);
    bool ran_through = false;
    bool cancelled = false;
    {
      EventLoop loop(options);
      Round round{loop, scenario, progress, canceller, n};
      loop.call_soon([&round] { round.look(); });
      bool asked = false;
      do {
        if (canceller == Canceller::CALLBACK) {
          loop.run_once();
          continue;
        }
        loop.run_once(Duration(0));
        if (!round.due) round.look();
        if (round.due && !std::exchange(asked, true)) round.handle->cancel();
      } while (!round.handle->done());
      ran_through = !round.due;
      cancelled = round.handle->cancelled();
      if (!cancelled) CHECK_NOTHROW(round.handle->result());
      CHECK((cancelled ? round.due : true));
      round.handle.reset();
      loop.close();
    }
    check(cancelled);
    // A call on another thread that runs on keeps its loop's wake-up descriptor.
    for (int wait = 0; wait < 1000 && open_descriptors(256) > descriptors; ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(open_descriptors(256) <= descriptors);
    if (ran_through) return count;
    ++count.points;
    count.cancelled += cancelled;
  }
}

}  // namespace heddle::test
