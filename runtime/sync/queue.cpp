// QueueBase: counting what isn't done, shutting down, and the errors of queues.
// SPDX-License-Identifier: MIT
#include "priority_queue.hpp"

#include <string>

#include "../../selector/errors.hpp"

namespace heddle {

using namespace detail;

QueueEmpty::QueueEmpty() : std::runtime_error("Queue.get_nowait(): the queue is empty") {}
QueueEmpty::~QueueEmpty() = default;
QueueFull::QueueFull() : std::runtime_error("Queue.put_nowait(): the queue is full") {}
QueueFull::~QueueFull() = default;
QueueShutDown::QueueShutDown(const char* operation)
    : std::runtime_error(std::string(operation) + ": the queue was shut down") {}
QueueShutDown::~QueueShutDown() = default;

void QueueBase::throw_shut_down(const char* operation) { throw QueueShutDown(operation); }
void QueueBase::throw_empty() { throw QueueEmpty(); }
void QueueBase::throw_full() { throw QueueFull(); }
void QueueBase::throw_put_already() { throw std::logic_error("what Queue.put() returns puts its item once"); }

void detail::throw_compares() {
  throw std::logic_error("PriorityQueue: it was used from within a comparison of its items");
}

void QueueBase::task_done() {
  getters_.use("Queue.task_done()");
  if (unfinished_ == 0) throw ValueError("Queue.task_done(): called more often than items were put");
  forget_unfinished(1);
}

void QueueBase::forget_unfinished(std::size_t items) noexcept {
  unfinished_ -= items < unfinished_ ? items : unfinished_;  // task_done() may have been called too early
  if (unfinished_ == 0) joiners_.grant_all();
}

void QueueBase::close_entry() noexcept {
  shut_down_ = true;
  getters_.fail_all();  // there was no item for them
  putters_.fail_all();
}

}  // namespace heddle
