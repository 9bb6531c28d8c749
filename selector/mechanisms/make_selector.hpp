// make_selector: a selector by its name, or the best one that works here, chosen at run time.
// SPDX-License-Identifier: MIT
#pragma once

#include "../export.hpp"  // first

#include <memory>  // on purpose: a selector chosen at run time needs an owner
#include <string_view>
#include <vector>

#include "../base_selector.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// "default" is the best that this kernel (or sandbox) grants: epoll or kqueue, else devpoll, else poll, else
/// select; the environment variable HEDDLE_SELECTOR, where it is set and not empty, names another one
/// instead. Throws ValueError for an unknown name, listing the known ones, and std::system_error when the
/// kernel refuses.
[[nodiscard]] HEDDLE_EXPORT std::unique_ptr<BaseSelector> make_selector(std::string_view name = "default");

/// What `name` stands for: "default" for HEDDLE_SELECTOR, where that is set and not empty.
[[nodiscard]] HEDDLE_EXPORT std::string_view chosen_selector(std::string_view name);

/// The names that make_selector() takes and that work here now, in the order in which the default is chosen.
[[nodiscard]] HEDDLE_EXPORT std::vector<std::string_view> available_selectors();

}  // namespace heddle

HEDDLE_HEADER_END
