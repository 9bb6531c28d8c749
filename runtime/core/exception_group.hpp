// ExceptionGroup: several failures that are thrown as one.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <exception>
#include <stdexcept>
#include <vector>

#include "report.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// All that went wrong in a TaskGroup, or on the threads of run_on_threads(), in the order in which it did.
/// what() lists it.
class HEDDLE_EXPORT ExceptionGroup : public std::runtime_error {
 public:
  explicit ExceptionGroup(std::vector<std::exception_ptr> exceptions, std::vector<AsyncTrace> traces = {},
                          const char* in = "a TaskGroup");
  ExceptionGroup(const ExceptionGroup&);
  ~ExceptionGroup() override;

  const std::vector<std::exception_ptr>& exceptions() const noexcept { return exceptions_; }
  /// The way that each of them took, in the same order; those of which nothing is known are empty.
  const std::vector<AsyncTrace>& traces() const noexcept { return traces_; }

 private:
  std::vector<std::exception_ptr> exceptions_;
  std::vector<AsyncTrace> traces_;
};

}  // namespace heddle

HEDDLE_HEADER_END
