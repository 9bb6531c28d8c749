// What each copy of heddle in a program offers to the others, which know nothing of its types.
// SPDX-License-Identifier: MIT
#pragma once

struct Copy {
  /// Runs tasks on a loop of this copy; `inside`, unless null, is called with `argument` by one of them, in
  /// the midst of its awaits. Returns a sum of what the tasks yield, always the same.
  int (*run)(void (*inside)(void* argument), void* argument);
  /// Coroutines of this copy that stand at a co_yield, of frames of many sizes; destroyed by destroy(), on
  /// any thread.
  void* (*make)();
  /// How many there were.
  int (*destroy)(void* made);
  /// Coroutines whose frames come from one thread's cache and go back to another's.
  int (*across_threads)();
  /// The calling thread's objects of this copy are destroyed when the thread ends, after and before its
  /// cache.
  void (*leave_to_thread_end)();
  /// Whether a loop of this copy runs on the calling thread.
  bool (*runs)();
};
