// Command: the environment of a program; ExitStatus as text.
// SPDX-License-Identifier: MIT
#include "command.hpp"

#include <signal.h>
#include <string.h>

#include <string_view>

#include "../../selector/errors.hpp"

extern char** environ;

namespace heddle {

namespace {

// The name in "NAME=value".
std::string_view name_of(std::string_view variable) { return variable.substr(0, variable.find('=')); }

}  // namespace

Command& Command::env(const std::string& name, const std::string& value) {
  if (name.empty() || name.find('=') != std::string::npos)
    throw ValueError('"' + name + "\" is no name of an environment variable");
  std::erase_if(environment_, [&](const std::string& variable) { return name_of(variable) == name; });
  environment_.push_back(name + '=' + value);
  return *this;
}

Command& Command::by_default(Stdio input, Stdio output, Stdio error) noexcept {
  const Stdio defaults[] = {input, output, error};
  for (int i = 0; i < 3; ++i)
    if (stdio_[i].kind_ == Stdio::Kind::UNSET) stdio_[i] = defaults[i];
  return *this;
}

std::vector<char*> Command::environment_block() const {
  std::vector<char*> all;
  if (inherits_environment_)
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
      bool replaced = false;
      for (const std::string& own : environment_) replaced = replaced || name_of(own) == name_of(*variable);
      if (!replaced) all.push_back(*variable);
    }
  for (const std::string& own : environment_) all.push_back(const_cast<char*>(own.c_str()));
  all.push_back(nullptr);
  return all;
}

std::string to_string(const ExitStatus& status) {
  if (status.exited()) return "exited with " + std::to_string(status.code);
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 32)
  if (const char* const name = ::sigabbrev_np(status.signal)) return std::string("was ended by SIG") + name;
#endif
#endif
  return "was ended by signal " + std::to_string(status.signal);
}

}  // namespace heddle
