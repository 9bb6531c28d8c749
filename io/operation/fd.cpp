// Fd: closing, in the order by which no operation uses a number that the kernel may have given out again.
// SPDX-License-Identifier: MIT
#include "fd.hpp"

#include <cerrno>
#include <string>
#include <system_error>

#include "../../runtime/loop/descriptor_table.hpp"

namespace heddle {

using namespace detail;

System& current_system() noexcept {
  return current.loop != nullptr ? current.loop->system() : kernel_system();
}

Fd::Fd(int fd) noexcept : Fd(fd, current_system()) {}

int Fd::release() noexcept {
  FdWatch* const watch = std::exchange(slot_.watch, &FdWatch::none);
  if (watch != &FdWatch::none) DescriptorTable::release(*watch);
  return std::exchange(slot_.fd, -1);
}

void Fd::close() noexcept {
  const int fd = release();
  if (fd >= 0) system_->close(fd);  // closed even when it fails (close(2))
}

void Fd::throw_closed(const char* operation) {
  throw std::system_error(EBADF, std::generic_category(), std::string(operation) + " on a closed descriptor");
}

}  // namespace heddle
