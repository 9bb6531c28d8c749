// where_denied: what happens in a process that may not make a system call. Linux only: a seccomp filter in a
// forked child.
// SPDX-License-Identifier: MIT
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <string>

#include "../selector/files.hpp"

namespace heddle::test {

inline void deny(long call, int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(filter), filter};
  must(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  must(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/// What `say` returns in a forked child; "ended by signal N" if that is how it ended.
template <class Say>
std::string in_child(Say say) {
  const Pair answer = Pair::pipe();
  const pid_t child = must(::fork());
  if (child == 0) {
    std::string text;
    try {
      text = say();
    } catch (const std::exception& failure) {
      text = failure.what();
    }
    (void)!::write(answer.b.fileno(), text.data(), text.size());
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return answer.a.read();
}

/// What `say` returns in a child that may not make `call`.
template <class Say>
std::string where_denied(long call, int error, Say say) {
  return in_child([&] {
    ::unsetenv("HEDDLE_SELECTOR");
    deny(call, error);
    return say();
  });
}

}  // namespace heddle::test
