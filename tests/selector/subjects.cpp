// The selectors that the contract is tested on.
// SPDX-License-Identifier: MIT
#include "subjects.hpp"

#include "../../selector/epoll_selector.hpp"
#include "../../selector/poll_selector.hpp"
#include "../../selector/select_selector.hpp"

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
  static const std::vector<Subject> all{
      plain<SelectSelector>("select"),
      plain<PollSelector>("poll"),
      plain<EpollSelector>("epoll"),
  };
  return all;
}

}  // namespace heddle::test
