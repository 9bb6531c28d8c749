// ExceptionGroup: what() lists what is in it.
// SPDX-License-Identifier: MIT
#include "exception_group.hpp"

#include <string>

namespace heddle {

namespace {

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "no std::exception";
  }
}

std::string summary_of(const std::vector<std::exception_ptr>& exceptions, const char* in) {
  std::string text =
      std::to_string(exceptions.size()) + (exceptions.size() == 1 ? " error in " : " errors in ") + in;
  const char* separator = ": ";
  for (const std::exception_ptr& exception : exceptions) {
    text += separator + message_of(exception);
    separator = "; ";
  }
  return text;
}

}  // namespace

ExceptionGroup::ExceptionGroup(std::vector<std::exception_ptr> exceptions, std::vector<AsyncTrace> traces,
                               const char* in)
    : std::runtime_error(summary_of(exceptions, in)),
      exceptions_(std::move(exceptions)),
      traces_(std::move(traces)) {
  traces_.resize(exceptions_.size());
}
ExceptionGroup::ExceptionGroup(const ExceptionGroup&) = default;
ExceptionGroup::~ExceptionGroup() = default;

}  // namespace heddle
