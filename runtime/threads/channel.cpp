// ChannelCore: its lock, its waiters, and how those are woken from other threads.
// SPDX-License-Identifier: MIT
#include "channel.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "../loop/event_loop.hpp"
#include "../loop/mailbox.hpp"

namespace heddle {

using namespace detail;

ChannelClosed::ChannelClosed() : std::runtime_error("the channel is closed") {}
ChannelClosed::ChannelClosed(const ChannelClosed&) noexcept = default;
ChannelClosed::~ChannelClosed() = default;

namespace detail {

void throw_sent_already() { throw std::logic_error("what Channel::send() returns sends its item once"); }

struct ChannelCore::Sync {
  std::mutex mutex;
  std::condition_variable served;  // of all threads that are blocked
};

}  // namespace detail

ChannelCore::ChannelCore(std::size_t capacity) : capacity_(capacity), sync_(new Sync) {}

ChannelCore::~ChannelCore() { delete sync_; }

void ChannelCore::add_reference() noexcept {
  std::atomic_ref(references_).fetch_add(1, std::memory_order_relaxed);
}

void ChannelCore::release() noexcept {
  if (std::atomic_ref(references_).fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void ChannelCore::add_handle() noexcept { std::atomic_ref(handles_).fetch_add(1, std::memory_order_relaxed); }

void ChannelCore::drop_handle() noexcept {
  if (std::atomic_ref(handles_).fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  close();
  release();
}

ChannelCore::Lock::Lock(ChannelCore& channel) noexcept : channel_(channel) { channel.sync_->mutex.lock(); }

ChannelCore::Lock::~Lock() {
  if (channel_.served_.empty()) {
    channel_.sync_->mutex.unlock();
    return;
  }
  ChannelList served;
  served.take_all(channel_.served_);
  channel_.sync_->mutex.unlock();
  // They have what they wait for and can't be cancelled any more, so each is there until it is woken, and may
  // be gone at once when it is.
  for (const ChannelWaiter& waiter : served) waiter.operation->wake_from_any_thread();
}

void ChannelCore::serve(ChannelWaiter& waiter, ChannelWaiter::State state) noexcept {
  ChannelList::remove(waiter);
  waiter.state = state;
  if (waiter.operation == nullptr)
    sync_->served.notify_all();
  else
    served_.push_back(waiter);
}

bool ChannelCore::block(ChannelWaiter& waiter, Timeout timeout) {
  std::unique_lock lock(sync_->mutex, std::adopt_lock);
  const auto is_served = [&] { return waiter.state != ChannelWaiter::State::WAITING; };
  bool served = true;
  const auto now = std::chrono::steady_clock::now();
  if (timeout.forever() || timeout.duration() > TimePoint::max() - now)
    sync_->served.wait(lock, is_served);
  else
    served = sync_->served.wait_until(lock, now + timeout.duration(), is_served);
  if (!served) ChannelList::remove(waiter);
  lock.release();
  return served;
}

void ChannelCore::close() noexcept {
  const Lock lock(*this);
  closed_ = true;
  for (ChannelWaiter& waiter : senders_) serve(waiter, ChannelWaiter::State::CLOSED);
  for (ChannelWaiter& waiter : receivers_) serve(waiter, ChannelWaiter::State::CLOSED);
}

bool ChannelCore::closed() noexcept {
  const Lock lock(*this);
  return closed_;
}

std::size_t ChannelCore::size() noexcept {
  const Lock lock(*this);
  return size_;
}

bool ChannelOperation::is_ready(ChannelWaiter::State state) noexcept {
  return state != ChannelWaiter::State::IDLE && finished();
}

void ChannelOperation::prepare_to_wait(void* item) noexcept {
  waiter_.operation = this;
  waiter_.item = item;
  mailbox_ = &EventLoop::running().mailbox();
}

// Who else has the channel isn't known: it may be another thread.
void ChannelOperation::begin_wait() noexcept {
  current.loop->allow_for_outside_work();
  waits_ = true;
}

void ChannelOperation::end_outside_work() noexcept { current.loop->end_possible_outside_work(); }

void ChannelOperation::throw_closed() {
  check_task();
  throw ChannelClosed();
}

void ChannelOperation::wake_from_any_thread() noexcept {
  if (current.loop != nullptr && &EventLoop::running().mailbox() == mailbox_)
    wake();
  else
    mailbox_->hand_over(message_);
}

void ChannelOperation::on_message(Runnable& message) noexcept {
  static_cast<Message&>(message).operation.wake();
}

}  // namespace heddle
