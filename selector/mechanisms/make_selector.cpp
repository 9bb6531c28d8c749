// make_selector: the list of selectors, best first, and the choice among them.
// SPDX-License-Identifier: MIT
#include "make_selector.hpp"

#include <cstdlib>
#include <string>
#include <system_error>

#include "default_selector.hpp"
#include "poll_selector.hpp"
#include "select_selector.hpp"
#if defined(__linux__)
#include "uring_selector.hpp"
#endif
#if defined(HEDDLE_HAVE_KQUEUE)
#include "kqueue_selector.hpp"
#endif

namespace heddle {
namespace {

struct Choice {
  std::string_view name;
  std::unique_ptr<BaseSelector> (*make)();
  bool by_default = true;
  bool is_listed = true;
};

template <class Selector>
std::unique_ptr<BaseSelector> make() {
  return std::make_unique<Selector>();
}

constexpr Choice CHOICES[] = {
#if defined(__linux__)
    {"epoll", make<EpollSelector>},
#endif
#if defined(HEDDLE_HAVE_KQUEUE)
    {"kqueue", make<KqueueSelector>},
#endif
#if defined(__sun)
    {"devpoll", make<DevpollSelector>},
#endif
    {"poll", make<PollSelector>},
    {"select", make<SelectSelector>},
#if defined(__linux__)
    {"io_uring", make<UringSelector>, false},
    {"io_uring_poll", make<UringSelector>, false, false},
#endif
};

// The errors of a kernel that doesn't have the system call, or a sandbox that forbids it. Others, such as a
// full descriptor table, are thrown and don't lead to the next choice.
bool denied(const std::system_error& error) {
  using std::errc;
  for (errc code : {errc::function_not_supported, errc::operation_not_permitted, errc::permission_denied,
                    errc::no_such_file_or_directory, errc::no_such_device, errc::no_such_device_or_address}) {
    if (error.code() == code) return true;
  }
  return false;
}

std::unique_ptr<BaseSelector> best() {
  for (const Choice& choice : CHOICES) {
    if (!choice.by_default) continue;
    try {
      return choice.make();
    } catch (const std::system_error& error) {
      if (!denied(error)) throw;
    }
  }
  return make<SelectSelector>();
}

}  // namespace

std::string_view chosen_selector(std::string_view name) {
  if (name != "default") return name;
  const char* const chosen = std::getenv("HEDDLE_SELECTOR");
  return chosen != nullptr && *chosen != '\0' ? chosen : name;
}

std::unique_ptr<BaseSelector> make_selector(std::string_view name) {
  const char* const source = chosen_selector(name) == name ? "selector" : "HEDDLE_SELECTOR";
  name = chosen_selector(name);
  if (name == "default") return best();
  std::string known = "default";
  for (const Choice& choice : CHOICES) {
    if (choice.name == name) return choice.make();
    if (choice.is_listed) known += ", " + std::string(choice.name);
  }
  throw ValueError(std::string(source) + " \"" + std::string(name) + "\" is unknown; there are: " + known);
}

std::vector<std::string_view> available_selectors() {
  std::vector<std::string_view> names;
  for (const Choice& choice : CHOICES) {
    if (!choice.is_listed) continue;
    try {
      (void)choice.make();
      names.push_back(choice.name);
    } catch (const std::system_error& error) {
      if (!denied(error)) throw;
    }
  }
  return names;
}

}  // namespace heddle
