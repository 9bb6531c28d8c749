// Fd: closing, in the order that lets nobody touch a number which is somebody else's by then.
// SPDX-License-Identifier: MIT
#include "fd.hpp"

#include <cerrno>
#include <string>
#include <system_error>

#include "../../runtime/loop/descriptor_table.hpp"

namespace heddle {

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
  if (fd >= 0) system_->close(fd);  // whatever it answers, the descriptor is gone
}

void Fd::throw_closed(const char* operation) {
  throw std::system_error(EBADF, std::generic_category(), std::string(operation) + " on a closed descriptor");
}

}  // namespace heddle
