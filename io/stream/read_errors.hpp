// IncompleteReadError, LimitOverrunError: why a StreamReader could not yield what it was asked for.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <stdexcept>
#include <string>

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The stream ended before everything that was asked for had come, as asyncio.IncompleteReadError.
class HEDDLE_EXPORT IncompleteReadError : public std::runtime_error {
 public:
  /// `expected` bytes, or 0 when it isn't known how many.
  IncompleteReadError(std::string partial, std::size_t expected);
  IncompleteReadError(const IncompleteReadError&);
  IncompleteReadError& operator=(const IncompleteReadError&);
  ~IncompleteReadError() override;

  /// What had come. It is not in the reader any more.
  const std::string& partial() const noexcept { return partial_; }
  std::size_t expected() const noexcept { return expected_; }

 private:
  std::string partial_;
  std::size_t expected_;
};

/// What was asked for is longer than the reader's limit, as asyncio.LimitOverrunError. Nothing is lost: the
/// bytes stay in the reader.
class HEDDLE_EXPORT LimitOverrunError : public std::runtime_error {
 public:
  LimitOverrunError(const std::string& message, std::size_t consumed);
  LimitOverrunError(const LimitOverrunError&) noexcept;
  LimitOverrunError& operator=(const LimitOverrunError&) noexcept;
  ~LimitOverrunError() override;

  /// How many of the buffered bytes hold no separator, and may be consumed to go on.
  std::size_t consumed() const noexcept { return consumed_; }

 private:
  std::size_t consumed_;
};

}  // namespace heddle

HEDDLE_HEADER_END
