// SecondLook: some at a time, so that others have their turns in between.
// SPDX-License-Identifier: MIT
#include "second_look.hpp"

#include <poll.h>

#include <new>
#include <utility>

#include "descriptor_table.hpp"

namespace heddle::detail {

namespace {

constexpr Duration delay = std::chrono::milliseconds(100);
constexpr int most_at_once = 64;

}  // namespace

bool SecondLook::note(FdWatch& watch) noexcept try {
  noted_.push_back(watch.fd);
  if (!armed()) table_.loop().timers().add(*this, current.now + delay);
  watch.awaits_second_look = true;
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

void SecondLook::stop() noexcept { table_.loop().timers().remove(*this); }

void SecondLook::expire(Timer& timer) noexcept { static_cast<SecondLook&>(timer).check_some(); }

void SecondLook::check_some() noexcept {
  if (checked_.empty()) checked_.swap(noted_);
  for (int left = most_at_once; left > 0 && !checked_.empty(); --left, checked_.pop_back())
    check(checked_.back());
  if (checked_.empty() && noted_.empty()) return;
  try {
    // The rest as soon as the others have had their turns.
    table_.loop().timers().add(*this, current.now + (checked_.empty() ? delay : Duration(1)));
  } catch (const std::bad_alloc&) {
    for (; !checked_.empty(); checked_.pop_back()) check(checked_.back());
  }
}

void SecondLook::check(int fd) noexcept {
  FdWatch* const watch = table_.find(fd);
  if (watch == nullptr || !std::exchange(watch->awaits_second_look, false)) return;
  if (watch->side(Direction::READ).ready() || !table_.readable_now(fd)) return;
  watch->more_may_follow = true;
  table_.notify(watch->side(Direction::READ));
}

}  // namespace heddle::detail
