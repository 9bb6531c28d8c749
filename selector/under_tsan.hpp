// under_tsan: whether this is built for ThreadSanitizer, which delays signal handlers until the thread makes
// a blocking call that it intercepts. For .cpp files only.
// SPDX-License-Identifier: MIT
#pragma once

namespace heddle::detail {

#if defined(__SANITIZE_THREAD__)
inline constexpr bool under_tsan = true;
#elif defined(__has_feature)
inline constexpr bool under_tsan = __has_feature(thread_sanitizer);
#else
inline constexpr bool under_tsan = false;
#endif

}  // namespace heddle::detail
