// PinnedThread: affinity masks, and which threads are pinned.
// SPDX-License-Identifier: MIT
#include "pinned_thread.hpp"

#include <pthread.h>

#ifdef __linux__
#include <sched.h>
#endif

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

#include "../../selector/errors.hpp"

namespace heddle::detail {

namespace {

constexpr std::size_t word_bits = 8 * sizeof(unsigned long);

// Of the thread: a key needs no static thread-local storage. Never deleted, so that threads which outlive
// main() find it.
pthread_key_t pinned_key() noexcept {
  static constinit std::atomic<std::uint64_t> known{0};  // the key and one
  std::uint64_t key = known.load(std::memory_order_acquire);
  if (key == 0) {
    pthread_key_t made{};
    ::pthread_key_create(&made, nullptr);
    if (known.compare_exchange_strong(key, std::uint64_t{made} + 1)) return made;
    ::pthread_key_delete(made);  // another thread was faster
  }
  return static_cast<pthread_key_t>(key - 1);
}

}  // namespace

CoreSet CoreSet::of_this_thread() {
  CoreSet set;
#ifdef __linux__
  // The kernel refuses a mask that is shorter than its own, which can't be asked for.
  for (std::size_t words = 1024 / word_bits;; words *= 2) {
    set.words_.assign(words, 0);
    if (::sched_getaffinity(0, words * sizeof(unsigned long),
                            reinterpret_cast<cpu_set_t*>(set.words_.data())) == 0)
      return set;
    if (errno != EINVAL || words * word_bits >= (std::size_t{1} << 20))
      throw_errno(errno, "sched_getaffinity", -1);
  }
#endif
  return set;
}

CoreSet CoreSet::only(std::size_t number) const {
  CoreSet one;
  one.words_.assign(words_.size(), 0);
  one.words_.at(number / word_bits) = 1UL << (number % word_bits);
  return one;
}

std::vector<std::size_t> CoreSet::numbers() const {
  std::vector<std::size_t> all;
  for (std::size_t number = 0; number < words_.size() * word_bits; ++number)
    if ((words_[number / word_bits] >> (number % word_bits) & 1) != 0) all.push_back(number);
  return all;
}

int CoreSet::apply() const noexcept {
#ifdef __linux__
  if (::sched_setaffinity(0, words_.size() * sizeof(unsigned long),
                          reinterpret_cast<const cpu_set_t*>(words_.data())) == 0)
    return 0;
  return errno;
#else
  return ENOSYS;
#endif
}

PinnedThread::PinnedThread(const CoreSet& allowed, std::size_t number)
    : allowed_(allowed), core_(allowed.only(number)) {
  if (const int error = ::pthread_setspecific(pinned_key(), this); error != 0)
    throw_errno(error, "pthread_setspecific", -1);
  if (const int error = core_.apply(); error != 0) {
    ::pthread_setspecific(pinned_key(), nullptr);
    throw_errno(error, ("sched_setaffinity to core " + std::to_string(number)).c_str(), -1);
  }
}

PinnedThread::~PinnedThread() {
  ::pthread_setspecific(pinned_key(), nullptr);
  // It may fail where the process has lost these cores meanwhile: then the kernel has chosen others already.
  static_cast<void>(allowed_.apply());
}

HelpersUnpinned::HelpersUnpinned() noexcept
    : pinned_(static_cast<const PinnedThread*>(::pthread_getspecific(pinned_key()))) {
  if (pinned_ != nullptr) static_cast<void>(pinned_->allowed_.apply());
}

HelpersUnpinned::~HelpersUnpinned() {
  if (pinned_ != nullptr) static_cast<void>(pinned_->core_.apply());
}

}  // namespace heddle::detail
