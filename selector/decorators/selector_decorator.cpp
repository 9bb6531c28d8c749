// SelectorDecorator: each call passed on to the selector inside.
// SPDX-License-Identifier: MIT
#include "selector_decorator.hpp"

#include <cerrno>
#include <utility>

namespace heddle {
namespace {

BaseSelector* required(const std::unique_ptr<BaseSelector>& inner) {
  if (inner == nullptr) throw ValueError("a selector decorator needs a selector");
  // The inner wait ends at each signal, and the outer one asks the user's hook whether to go on.
  inner->set_interrupt_hook([](void*) { return true; }, nullptr);
  return inner.get();
}

}  // namespace

SelectorDecorator::SelectorDecorator(BaseSelector& inner) noexcept
    : BaseSelector("register", "select"), inner_(&inner) {
  inner.set_interrupt_hook([](void*) { return true; }, nullptr);
}

SelectorDecorator::SelectorDecorator(std::unique_ptr<BaseSelector> inner)
    : BaseSelector("register", "select"), owned_(std::move(inner)), inner_(required(owned_)) {}

SelectorDecorator::SelectorDecorator(SelectorDecorator&& other) noexcept
    : BaseSelector(std::move(other)),
      owned_(std::move(other.owned_)),
      inner_(other.inner_),
      last_(std::exchange(other.last_, {})) {}

// The derived class has called close() by now, unless its constructor has thrown: then an owned selector
// closes itself.
SelectorDecorator::~SelectorDecorator() = default;

void SelectorDecorator::set_system(System& system) noexcept {
  BaseSelector::set_system(system);
  inner_->set_system(system);
}

int SelectorDecorator::do_register(const SelectorKey& key, std::uint32_t, Trigger trigger) {
  inner_->register_(key.fileobj, key.events, key.data, trigger);
  return 0;
}

int SelectorDecorator::do_modify(const SelectorKey& key, EventMask, std::uint32_t, Trigger) {
  inner_->modify(key.fd, key.events, key.data);
  return 0;
}

void SelectorDecorator::do_modify_data(const SelectorKey& key) {
  inner_->modify(key.fd, key.events, key.data);
}

void SelectorDecorator::do_unregister(const SelectorKey& key, std::uint32_t) noexcept {
  if (inner_->find(key.fd) != nullptr) inner_->unregister(key.fd);
}

int SelectorDecorator::do_wait(Timeout timeout) {
  last_ = inner_->select(timeout);
  for (const Ready& ready : last_) {
    const int fd = ready.key.fd;
    if (find(fd) != nullptr) report(fd, generation(fd), ready.events, ready.hangup);
  }
  return inner_->interrupted() ? EINTR : 0;
}

void SelectorDecorator::do_close() noexcept { inner_->close(); }

}  // namespace heddle
