// What the loads share: the clock, the server's time on its core, and where it listens.
// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <time.h>

#include "peer.h"

static struct sockaddr_in tcp;
static struct sockaddr_un local;
static int is_unix;

static inline long long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// Nanoseconds that the server has been on a core: all its threads.
static inline long long server_cpu(long pid) {
  char path[300];
  long long total = 0, spent;
  snprintf(path, sizeof path, "/proc/%ld/task", pid);
  DIR* tasks = pid != 0 ? opendir(path) : NULL;
  if (tasks == NULL) return 0;
  for (struct dirent* task; (task = readdir(tasks)) != NULL;) {
    snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", pid, task->d_name);
    FILE* file = task->d_name[0] != '.' ? fopen(path, "r") : NULL;
    if (file == NULL) continue;
    if (fscanf(file, "%lld", &spent) == 1) total += spent;
    fclose(file);
  }
  closedir(tasks);
  return total;
}

static inline void set_address(const char* text) {
  const char* colon = strrchr(text, ':');
  tcp.sin_family = AF_INET;
  local.sun_family = AF_UNIX;
  is_unix = text[0] == '/';
  if (is_unix) {
    snprintf(local.sun_path, sizeof local.sun_path, "%s", text);
    return;
  }
  char host[64];
  snprintf(host, sizeof host, "%.*s", colon != NULL ? (int)(colon - text) : 0, text);
  if (colon == NULL || inet_pton(AF_INET, host, &tcp.sin_addr) != 1) peer_die("load: address");
  tcp.sin_port = htons((unsigned short)atoi(colon + 1));
}
