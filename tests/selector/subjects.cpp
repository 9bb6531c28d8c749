// The selectors that the contract is tested on.
// SPDX-License-Identifier: MIT
#include "subjects.hpp"

#include <cstdio>
#include <system_error>

#include "../../selector/decorators/checked_selector.hpp"
#include "../../selector/decorators/tracing_selector.hpp"
#include "../../selector/mechanisms/devpoll_selector.hpp"
#include "../../selector/mechanisms/epoll_selector.hpp"
#include "../../selector/mechanisms/kqueue_selector.hpp"
#include "../../selector/mechanisms/poll_selector.hpp"
#include "../../selector/mechanisms/select_selector.hpp"
#include "../../selector/mechanisms/uring_selector.hpp"

namespace heddle::test {
namespace {

template <class Selector>
std::unique_ptr<BaseSelector> make() {
  return std::make_unique<Selector>();
}

template <class Selector>
std::unique_ptr<BaseSelector> move(BaseSelector& from) {
  return std::make_unique<Selector>(std::move(dynamic_cast<Selector&>(from)));
}

template <class Selector>
Subject plain(const char* name, bool real = true) {
  return {name, name, make<Selector>, move<Selector>, real};
}

template <class Inner>
std::unique_ptr<BaseSelector> make_checked() {
  return std::make_unique<CheckedSelector>(std::make_unique<Inner>(), [](void*, const char*) {});
}

template <class Inner>
std::unique_ptr<BaseSelector> make_traced() {
  return std::make_unique<TracingSelector>(std::make_unique<Inner>(), [](void*, std::string_view) {});
}

}  // namespace

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = [] {
    std::vector<Subject> list{
        plain<SelectSelector>("select"),
        plain<PollSelector>("poll"),
        plain<EpollSelector>("epoll"),
        plain<KqueueSelector>("kqueue", false),
        plain<DevpollSelector>("devpoll", false),
        {"checked epoll", "epoll", make_checked<EpollSelector>, move<CheckedSelector>},
        {"checked select", "select", make_checked<SelectSelector>, move<CheckedSelector>},
        {"traced poll", "poll", make_traced<PollSelector>, move<TracingSelector>},
    };
    try {
      UringSelector probe;
      list.push_back(plain<UringSelector>("io_uring"));
    } catch (const std::system_error& error) {
      std::fprintf(stderr, "io_uring is not tested here: %s\n", error.what());
    }
    return list;
  }();
  return all;
}

}  // namespace heddle::test
