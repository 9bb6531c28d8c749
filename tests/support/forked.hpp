// end_of_child, end_and_words_of_child: how a child of fork() ends that does something and no more.
// SPDX-License-Identifier: MIT
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>
#include <utility>

#include "../selector/files.hpp"

namespace heddle::test {

/// What `function()` returns in the child of a fork(), as its status; 250 if it throws; or the signal that
/// ended the child, negative: -SIGALRM if it took ten seconds.
template <class Function>
int end_of_child(Function function) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGALRM, SIG_DFL);
    ::alarm(10);
    int status = 250;
    try {
      status = static_cast<int>(function());
    } catch (...) {
    }
    ::_exit(status);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/// The same, and what the child has said on stderr, up to 64 KiB. An abort() is its end, and not reported by
/// the test framework.
template <class Function>
std::pair<int, std::string> end_and_words_of_child(Function function) {
  int pipe[2];
  must(::pipe(pipe));
  const File reading(pipe[0]);
  File writing(pipe[1]);
  const int end = end_of_child([&] {
    std::signal(SIGABRT, SIG_DFL);
    ::dup2(writing.fileno(), STDERR_FILENO);
    return function();
  });
  writing.close();
  return {end, reading.read()};
}

}  // namespace heddle::test
