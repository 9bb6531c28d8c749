// The selectors that the contract is tested on.
// SPDX-License-Identifier: MIT
#include "subjects.hpp"

#include <system_error>

#include "../../selector/epoll_selector.hpp"
#include "../../selector/poll_selector.hpp"
#include "../../selector/select_selector.hpp"
#include "../../selector/uring_selector.hpp"
#include "../support/catch.hpp"

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

}  // namespace

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = [] {
    std::vector<Subject> list{
        plain<SelectSelector>("select"),
        plain<PollSelector>("poll"),
        plain<EpollSelector>("epoll"),
    };
    try {
      UringSelector probe;
      list.push_back(plain<UringSelector>("io_uring"));
    } catch (const std::system_error& error) {
      WARN("io_uring is not tested here: " << error.what());
    }
    return list;
  }();
  return all;
}

}  // namespace heddle::test
