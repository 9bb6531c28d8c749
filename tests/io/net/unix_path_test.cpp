// replace_stale: which sockets are, and which only look so.
// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "../../../io/net/unix.hpp"
#include "../loopback.hpp"
#include "../temporary.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

UnixBindOptions replacing() {
  UnixBindOptions options;
  options.replace_stale = true;
  return options;
}

// A socket that another program has bound, and that doesn't listen yet.
File bind_only(const UnixAddress& address) {
  File socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  must(::bind(socket.fileno(), address.data(), address.length()));
  return socket;
}

bool is_refused(const UnixAddress& address) {
  try {
    const auto listener = UnixListener::bind(address, replacing());
  } catch (const std::system_error& error) {
    return error.code() == std::errc::address_in_use;
  }
  return false;
}

// Whose /proc/net/unix can't be read.
class BlindSystem : public KernelSystem {
 public:
  int open(const char* path, int flags, unsigned mode) noexcept override {
    return std::string_view(path) == "/proc/net/unix" ? -EACCES : KernelSystem::open(path, flags, mode);
  }
};

}  // namespace

TEST_CASE("a socket that is bound and doesn't listen yet isn't stale, however it was named") {
  const TemporaryDirectory directory;
  const UnixAddress address(directory.path("s"));
  {
    const File other = bind_only(address);
    CHECK(is_refused(address));
    must(::listen(other.fileno(), 1));
    CHECK(is_refused(address));
  }
  CHECK_FALSE(is_refused(address));  // now it is
  directory.remove("s");

  std::filesystem::create_directory_symlink(directory.path("."), directory.path("link"));
  {
    const File other = bind_only(UnixAddress(directory.path("link/s")));
    CHECK(is_refused(address));
  }
  directory.remove("s");
  {
    const std::filesystem::path before = std::filesystem::current_path();
    std::filesystem::current_path(directory.path("."));
    const File other = bind_only(UnixAddress("s"));
    std::filesystem::current_path(before);
    CHECK(is_refused(address));
  }
  CHECK_FALSE(is_refused(address));
}

TEST_CASE("another socket of the same name elsewhere keeps none from being replaced") {
  const TemporaryDirectory directory, elsewhere;
  const File other = bind_only(UnixAddress(elsewhere.path("s")));
  {
    const File stale = bind_only(UnixAddress(directory.path("s")));
  }
  CHECK_FALSE(is_refused(UnixAddress(directory.path("s"))));
}

TEST_CASE("where the kernel's list of sockets can't be read nothing is replaced") {
  const TemporaryDirectory directory;
  const UnixAddress address(directory.path("s"));
  {
    const File stale = bind_only(address);
  }
  BlindSystem system;
  run_on(
      "default",
      [&]() -> Task<void> {
        CHECK(is_refused(address));
        co_return;
      },
      &system);
  CHECK(directory.has("s"));
  CHECK_FALSE(is_refused(address));
}
