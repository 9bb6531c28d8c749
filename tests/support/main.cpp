// The main of every test executable. It is one library, because compiling Catch2's takes longer than our
// tests.
// SPDX-License-Identifier: MIT
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <sys/resource.h>

#ifdef __SANITIZE_THREAD__
// A case whose child starts threads may come after one that has left some in the parent.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

int main(int argc, char* argv[]) {
  // Tests with many descriptors want the hard limit; those that need more than that say so and skip.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return Catch::Session().run(argc, argv);
}
