// What is chosen and what is said when a sandbox denies a system call. Linux only: a seccomp filter in a
// forked child.
// SPDX-License-Identifier: MIT
#include <string>

#include "../../../selector/mechanisms/make_selector.hpp"
#include "../../support/catch.hpp"
#include "../../support/denied.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

std::string chosen() { return make_selector()->name(); }

std::string available() {
  std::string all;
  for (std::string_view name : available_selectors()) all += std::string(name) + " ";
  return all;
}

}  // namespace

TEST_CASE("where epoll is denied the default is poll, and the list leaves epoll out") {
  for (int error : {EPERM, ENOSYS}) {
    CHECK(where_denied(SYS_epoll_create1, error, chosen) == "poll");
    CHECK_THAT(where_denied(SYS_epoll_create1, error, available), Catch::Matchers::StartsWith("poll select"));
  }
}

TEST_CASE("a full descriptor table is an error and no reason to choose less") {
  CHECK_THAT(where_denied(SYS_epoll_create1, EMFILE, chosen), Catch::Matchers::StartsWith("epoll_create1: "));
}

TEST_CASE("where io_uring is denied, asking for it says so, and the default is as before") {
  const auto ask = [] { return std::string(make_selector("io_uring")->name()); };
  for (int error : {EPERM, ENOSYS}) {
    CHECK_THAT(where_denied(SYS_io_uring_setup, error, ask),
               Catch::Matchers::StartsWith("io_uring_setup (") && Catch::Matchers::Contains("): "));
    CHECK(where_denied(SYS_io_uring_setup, error, chosen) == "epoll");
    CHECK_FALSE(where_denied(SYS_io_uring_setup, error, available).find("io_uring") != std::string::npos);
  }
}

TEST_CASE("where epoll_pwait2 is denied, epoll still waits no less than it is told") {
  const auto wait = [] {
    const auto selector = make_selector("epoll");
    const auto start = std::chrono::steady_clock::now();
    selector->select(std::chrono::microseconds(1500));
    selector->select(std::chrono::microseconds(10));
    return std::string(std::chrono::steady_clock::now() - start >= std::chrono::microseconds(1510) ? "full"
                                                                                                   : "short");
  };
  for (int error : {EPERM, ENOSYS}) CHECK(where_denied(SYS_epoll_pwait2, error, wait) == "full");
}
