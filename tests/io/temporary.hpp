// TemporaryDirectory: for tests that need paths.
// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

namespace heddle::test {

/// A new directory that is removed, with all in it, at the end. Its path is short enough for a Unix socket's.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/heddle-XXXXXX";
    directory_ = ::mkdtemp(name) != nullptr ? name : "/nowhere";
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  std::string path(std::string_view file) const { return directory_ + '/' + std::string(file); }
  std::string name() const { return directory_.substr(directory_.rfind('/') + 1); }
  bool has(std::string_view file) const {
    return std::filesystem::exists(std::filesystem::symlink_status(path(file)));
  }
  void remove(std::string_view file) const { std::filesystem::remove(path(file)); }
  void write(std::string_view file, std::string_view bytes) const {
    std::ofstream(path(file), std::ios::binary) << bytes;
  }
  std::string read(std::string_view file) const {
    std::ifstream stream(path(file), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  }

 private:
  std::string directory_;
};

}  // namespace heddle::test
