// errno_of(): the error number that an exception stands for. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <exception>
#include <new>
#include <system_error>

namespace heddle::detail {

/// The errno of a std::system_error, ENOMEM for std::bad_alloc; 0 for any other exception.
inline int errno_of(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  } catch (const std::system_error& failure) {
    const std::error_condition condition = failure.code().default_error_condition();
    return condition.category() == std::generic_category() ? condition.value() : 0;
  } catch (...) {
    return 0;
  }
}

}  // namespace heddle::detail
