// The same by posix_spawn(3) and waitpid(2) alone.
// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char** environ;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  int left = atoi(argv[1]), alive = 0;
  const int at_a_time = atoi(argv[2]);
  while (left > 0 || alive > 0) {
    while (left > 0 && alive < at_a_time) {
      char* const arguments[] = {"/bin/true", NULL};
      pid_t pid;
      if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) != 0) return 1;
      --left, ++alive;
    }
    int status;
    if (waitpid(-1, &status, 0) < 0 || status != 0) return 1;
    --alive;
  }
  printf("%.0f\n", 1e6 * (double)clock() / CLOCKS_PER_SEC);
  return 0;
}
