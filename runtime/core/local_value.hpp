// LocalValue: the value that a TaskLocal has in some tasks.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

HEDDLE_HEADER_BEGIN

namespace heddle::detail {

/// A value of a TaskLocal, counted: tasks share it until one sets its own.
class HEDDLE_EXPORT LocalValue {
 public:
  // Any thread.
  void add_reference() noexcept;
  void release() noexcept;

 protected:
  LocalValue() noexcept = default;
  virtual ~LocalValue();

 private:
  unsigned references_ = 1;  // atomic accesses only
};

/// The value that the current task has for `key`; nullptr for none, and outside of a task and its calls.
HEDDLE_EXPORT LocalValue* find_local(const void* key) noexcept;
/// Gives the current task a value (nullptr: none), whose reference it takes over, and returns the one before,
/// with its reference. Throws std::logic_error outside of a task, std::bad_alloc; then `value` is released.
HEDDLE_EXPORT LocalValue* exchange_local(const void* key, LocalValue* value);
/// The same for putting one back. Where that needs memory that there isn't, the value stays as it is.
HEDDLE_EXPORT LocalValue* restore_local(const void* key, LocalValue* value) noexcept;

}  // namespace heddle::detail

HEDDLE_HEADER_END
