// DisturbedRun: how a run ended, in words, and whether that is what was to be expected.
// SPDX-License-Identifier: MIT
#include <new>

#include "../task/task_group.hpp"
#include "testing.hpp"

namespace heddle {

DisturbanceError::DisturbanceError(const DisturbanceError&) noexcept = default;
DisturbanceError::~DisturbanceError() = default;

namespace {

const ExceptionGroup* as_group(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ExceptionGroup& group) {
    return &group;  // `error` keeps it
  } catch (...) {
    return nullptr;
  }
}

std::string in_words(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled&) {
    return "Cancelled";
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

bool contains(const std::exception_ptr& error, const std::exception_ptr& wanted) {
  if (!error || error == wanted) return static_cast<bool>(error);
  if (const ExceptionGroup* const group = as_group(error))
    for (const std::exception_ptr& each : group->exceptions())
      if (contains(each, wanted)) return true;
  return false;
}

}  // namespace

bool DisturbedRun::any_of(const std::exception_ptr& error, bool (*is)(const std::exception_ptr&)) {
  if (!error) return false;
  if (is(error)) return true;
  if (const ExceptionGroup* const group = as_group(error))
    for (const std::exception_ptr& each : group->exceptions())
      if (any_of(each, is)) return true;
  return false;
}

bool DisturbedRun::cancelled() const noexcept {
  try {
    if (end) std::rethrow_exception(end);
  } catch (const Cancelled&) {
    return true;
  } catch (...) {
  }
  return false;
}

bool DisturbedRun::failed_with_injected() const { return injected && contains(end, injected); }

std::string DisturbedRun::what() const {
  std::string text;
  switch (disturbance) {
    case Disturbance::NONE:
      text = "undisturbed, the scenario";
      break;
    case Disturbance::CANCEL:
      text = "cancelled at place " + std::to_string(number) + " (" + place + "), the scenario";
      break;
    case Disturbance::THROW:
      text =
          "with an exception injected at place " + std::to_string(number) + " (" + place + "), the scenario";
      break;
    case Disturbance::ALLOCATION:
      text = "with allocation " + std::to_string(number) + " (" + place + ") failing, the scenario";
      break;
  }
  return text + (end ? " ended with: " + in_words(end) : " returned");
}

void check_usual_end(const DisturbedRun& run) {
  switch (run.disturbance) {
    case Disturbance::CANCEL:
      if (run.failed_with<Cancelled>()) return;
      break;
    case Disturbance::THROW:
      if (run.failed_with_injected()) return;
      break;
    case Disturbance::ALLOCATION:
      if (run.failed_with<std::bad_alloc>()) return;
      break;
    case Disturbance::NONE:
      break;
  }
  if (!run.returned()) throw DisturbanceError(run.what());
}

}  // namespace heddle
