// last_error: the errno of a call that has failed. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>

namespace heddle::detail {

/// EIO where the call has failed without saying why: 0 would be taken for its success.
[[nodiscard]] inline int last_error() noexcept { return errno != 0 ? errno : EIO; }

}  // namespace heddle::detail
