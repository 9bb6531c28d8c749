// SelectorMap: read access to a selector's table.
// SPDX-License-Identifier: MIT
#include "selector_map.hpp"

#include "base_selector.hpp"

namespace heddle {

std::size_t SelectorMap::size() const noexcept { return selector_->size(); }

const SelectorKey* SelectorMap::find(FileObj fileobj) const noexcept {
  return selector_->find(selector_->search(fileobj));
}

SelectorKey SelectorMap::at(FileObj fileobj) const { return selector_->registered("get_key", fileobj).key; }

SelectorMap::Iterator SelectorMap::begin() const noexcept { return {selector_, selector_->next(-1)}; }

SelectorMap::Iterator SelectorMap::end() const noexcept { return {selector_, -1}; }

const SelectorKey& SelectorMap::Iterator::operator*() const noexcept {
  return selector_->slots_[static_cast<std::size_t>(fd_)].key;
}

SelectorMap::Iterator& SelectorMap::Iterator::operator++() noexcept {
  fd_ = selector_->next(fd_);
  return *this;
}

}  // namespace heddle
