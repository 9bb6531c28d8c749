// Publication, PublicationReader: their lifetime, and the errors of a second waiting task.
// SPDX-License-Identifier: MIT
#include "publication.hpp"

#include <stdexcept>
#include <string>

namespace heddle::detail {

Publication::~Publication() = default;

void Publication::release() noexcept {
  if (--references_ == 0) delete this;
}

void PublicationReader::throw_not_free(const char* operation) const {
  throw std::logic_error(std::string(operation) +
                         (!state_ ? ": it was moved from" : ": another task waits for it already"));
}

Operation::Stop PublicationOperation::cancel() noexcept {
  const State before = state_;
  const Stop stop = WaitOperation::cancel();
  if (stop == Stop::STOPPED && before == State::WAITING) reader_.waiting_ = nullptr;
  return stop;
}

}  // namespace heddle::detail
