// Launch: one start of a command by posix_spawn(3), with its file actions and attributes. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <spawn.h>

#include <string>

#include "../../selector/system.hpp"
#include "../operation/fd.hpp"
#include "command.hpp"

namespace heddle::detail {

/// Owns posix_spawn's list of what the child does with its descriptors before it runs the program.
class FileActions {
 public:
  FileActions() { check(::posix_spawn_file_actions_init(&actions_)); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }

  posix_spawn_file_actions_t* get() noexcept { return &actions_; }
  /// Throws std::system_error unless `error` is 0.
  static void check(int error);

 private:
  posix_spawn_file_actions_t actions_;
};

/// Owns posix_spawn's attributes: the child's signals and process group.
class SpawnAttributes {
 public:
  SpawnAttributes() { FileActions::check(::posix_spawnattr_init(&attributes_)); }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  ~SpawnAttributes() { ::posix_spawnattr_destroy(&attributes_); }

  posix_spawnattr_t* get() noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

/// Starts a command once. Owns every descriptor that this needs: its destructor closes those that weren't
/// moved out of it, whether start() succeeded or not.
class Launch {
 public:
  /// `command` must outlive this.
  explicit Launch(const Command& command) : command_(command), system_(current_system()) {}

  /// Throws std::system_error that names the program, ValueError; then no child is left.
  void start();

  Fd ours[3];                 ///< our ends of the pipes to its standard streams
  int pid = -1;               ///< of the child, after start()
  Fd exit;                    ///< readable when the child has ended; closed if it was reaped already
  bool thread_waits = false;  ///< a thread sees to that: `exit` is a pipe, not a pidfd

 private:
  void check_strings() const;
  void prepare_stream(int number);
  void move_to(int number, int fd);
  void prepare_directory();
  void prepare_other_descriptors();
  void prepare_attributes();
  void spawn();
  void check(int error, const std::string& details = {}) const;

  const Command& command_;
  System& system_;
  FileActions actions_;
  SpawnAttributes attributes_;
  Fd theirs_[3];  // until the child has its own
};

}  // namespace heddle::detail
