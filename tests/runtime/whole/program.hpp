// Programs: random tasks that lock, put, wait, cancel and time out, with a model that says what must never
// happen.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace heddle::test {

/// One thing that a task does. Blocks have a body, which is done inside.
struct Step {
  enum Kind : std::uint8_t {
    YIELD,
    SLEEP,      ///< `time` ms
    LOCKED,     ///< body while it holds lock `object`
    PERMITTED,  ///< body while it has a permit of semaphore `object`
    PUT,        ///< a new item into queue `object`
    GET,
    TRY_PUT,
    TRY_GET,
    SHUT_DOWN,  ///< queue `object`, rarely
    SET,        ///< event `object`
    CLEAR,
    WAIT,
    NOTIFIED,      ///< waits for a notification of condition `object`, then body with its lock
    NOTIFY,        ///< `time` of those who wait
    CANCEL,        ///< the main task number `object`
    CANCEL_LATER,  ///< the same by a callback in `time` ms
    TIMEOUT,       ///< body in at most `time` ms
    SHIELD,        ///< body; only what ends by itself
    GROUP,         ///< each step of the body in a task of its own, in a group
    RACE,          ///< the same, and the first ends the others
    FAIL,          ///< throws
  };

  Kind kind = YIELD;
  std::size_t object = 0;
  int time = 0;
  bool goes_on = false;  ///< a Cancelled that comes out is not passed on: the task does its next step
  std::vector<Step> body;
};

struct Program {
  std::uint64_t seed = 0;
  std::uint64_t shuffle = 0;  ///< the LoopOptions::shuffle_seed
  std::size_t locks = 0;
  std::vector<std::size_t> permits;     ///< of each semaphore
  std::vector<std::size_t> capacities;  ///< of each queue
  std::size_t events = 0;
  std::size_t conditions = 0;
  std::vector<std::vector<Step>> tasks;
};

/// The program that belongs to a seed.
Program make_program(std::uint64_t seed);

std::string in_words(const Program& program);

struct Played {
  std::string failure;           ///< what the model forbids; empty if nothing has gone wrong
  std::vector<std::string> log;  ///< what happened, in order, with the virtual time
  int stuck = 0;                 ///< tasks that waited for ever (and had a reason to)
  int cancelled = 0;             ///< Cancelled that came out of steps
  int timed_out = 0;
};

/// Runs a program in virtual time to its end, checking after each step of the loop.
Played play(const Program& program);

}  // namespace heddle::test
