// The messages of a StreamReader's errors.
// SPDX-License-Identifier: MIT
#include "read_errors.hpp"

#include <utility>

namespace heddle {

namespace {

std::string end_after(std::size_t got, std::size_t expected) {
  std::string text = "the stream ended after " + std::to_string(got);
  if (expected != 0) return text + " of " + std::to_string(expected) + " bytes";
  return text + " bytes, before the separator";
}

}  // namespace

IncompleteReadError::IncompleteReadError(std::string partial, std::size_t expected)
    : std::runtime_error(end_after(partial.size(), expected)),
      partial_(std::move(partial)),
      expected_(expected) {}
IncompleteReadError::IncompleteReadError(const IncompleteReadError&) = default;
IncompleteReadError& IncompleteReadError::operator=(const IncompleteReadError&) = default;
IncompleteReadError::~IncompleteReadError() = default;

LimitOverrunError::LimitOverrunError(const std::string& message, std::size_t consumed)
    : std::runtime_error(message), consumed_(consumed) {}
LimitOverrunError::LimitOverrunError(const LimitOverrunError&) noexcept = default;
LimitOverrunError& LimitOverrunError::operator=(const LimitOverrunError&) noexcept = default;
LimitOverrunError::~LimitOverrunError() = default;

}  // namespace heddle
