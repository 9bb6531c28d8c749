// KernelFault: the n-th call of one kind that a selector makes fails. The linker sends the selectors' calls
// through here (see CMakeLists.txt).
// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace heddle::test {

/// While it lives, the `n`-th call of `call` from now on (0: the next) fails with `error`, `times` times. A
/// call that fails with 0 leaves errno at 0.
class KernelFault {
 public:
  static constexpr int always = 1 << 30;

  KernelFault(std::string_view call, int error, int n, int times = 1);
  KernelFault(const KernelFault&) = delete;
  KernelFault& operator=(const KernelFault&) = delete;
  ~KernelFault();

  /// How many such calls were made.
  [[nodiscard]] int made() const { return made_; }
  [[nodiscard]] bool has_failed() const { return made_ > first_; }

  /// For the calls: whether this one, of that name, is to fail, and its error.
  static bool fails(std::string_view call, int& error);

 private:
  std::string_view call_;
  int error_;
  int first_;
  int times_;
  int made_ = 0;
};

}  // namespace heddle::test
