// Shard: where the loops of a Sharded wait for each other, and the end of one loop's object.
// SPDX-License-Identifier: MIT
#include "shard.hpp"

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "../../selector/errors.hpp"
#include "../../selector/process_mark.hpp"
#include "../core/all_done.hpp"
#include "../loop/event_loop.hpp"
#include "../loop/mailbox.hpp"

namespace heddle {

using namespace detail;

ShardEnded::ShardEnded(std::size_t index)
    : std::runtime_error("the object of a Sharded on loop " + std::to_string(index) + " has ended") {}
ShardEnded::ShardEnded(const ShardEnded&) noexcept = default;
ShardEnded::~ShardEnded() = default;

namespace detail {

namespace {

// All objects were made; and all functions have ended.
constexpr unsigned stages = 2;

}  // namespace

struct ShardSlot::Sync {
  std::mutex mutex;
  ProcessMark process;  // in the child of a fork() another thread may have the mutex for ever
  std::atomic<Scheduler*> loop{nullptr};  // where the object is, or was
  Shard* shard = nullptr;                 // while it can be called; under the mutex
};

struct ShardSet::Sync {
  explicit Sync(std::size_t count) : slots(count), syncs(count) {}
  std::mutex mutex;
  std::size_t reached[stages] = {};  // how many loops have come there
  std::vector<ShardSlot> slots;
  std::vector<ShardSlot::Sync> syncs;
};

// A slot.

Shard* ShardSlot::own() const {
  if (sync_->loop.load(std::memory_order_relaxed) != &running_loop()) return nullptr;
  if (sync_->shard == nullptr) throw ShardEnded(index_);  // written by this thread alone
  return sync_->shard;
}

void* ShardSlot::object() const {
  if (sync_->shard == nullptr) throw ShardEnded(index_);
  return sync_->shard->object();
}

void ShardSlot::set_shard(Shard* shard) const noexcept {
  if (!sync_->process.is_here()) {
    sync_->shard = shard;
    return;
  }
  const std::lock_guard lock(sync_->mutex);
  sync_->shard = shard;
}

ShardSlot::Reached::Reached(ShardSlot& its_slot)
    : slot(its_slot), shard([&]() -> Shard& {
        if (!its_slot.sync_->process.is_here()) throw ShardEnded(its_slot.index_);
        its_slot.sync_->mutex.lock();
        if (its_slot.sync_->shard != nullptr) return *its_slot.sync_->shard;
        its_slot.sync_->mutex.unlock();
        throw ShardEnded(its_slot.index_);
      }()) {}

ShardSlot::Reached::~Reached() { slot.sync_->mutex.unlock(); }

// A call from the same loop.

ShardUse::ShardUse(Shard& shard) noexcept : shard_(shard), task_(current.task) {
  shard.uses_.push_back(*this);
}

ShardUse::~ShardUse() {
  IntrusiveList<ShardUse>::remove(*this);
  shard_.note_end();
}

// An object.

Shard::Shard(ShardSet& set, ShardSlot& slot, void* object) noexcept
    : TaskOwner(running_loop()), set_(set), slot_(slot), object_(object), event_loop_(EventLoop::running()) {
  loop().allow_for_outside_work();  // other threads may call it
}

Shard::~Shard() { loop().end_possible_outside_work(); }

void Shard::expect_message() noexcept { std::atomic_ref(messages_).fetch_add(1, std::memory_order_relaxed); }

void Shard::arrived() noexcept {
  std::atomic_ref(messages_).fetch_sub(1, std::memory_order_acq_rel);
  note_end();
}

void Shard::note_end() noexcept {
  if (ending_ && all_ended()) AllDone::notify(waiting_);
}

bool Shard::all_ended() const noexcept {
  return first_child() == nullptr && uses_.empty() &&
         (std::atomic_ref(const_cast<unsigned&>(messages_)).load(std::memory_order_acquire) == 0 ||
          !slot_.sync_->process.is_here());
}

void Shard::Message::on_message(Runnable& message) noexcept {
  Shard& shard = static_cast<Message&>(message).shard;
  Scheduler::leave_tasks();
  ++shard.stages_passed_;
  AllDone::notify(shard.waiting_);
  shard.arrived();
}

Task<void> Shard::wait_for_others(unsigned stage, const char* what) {
  set_.reached(stage, *this);
  stages_reached_ = stage + 1;
  while (stages_passed_ <= stage) co_await AllDone(waiting_, false, what, false);
}

// Doesn't end before all that may use the object has.
Task<void> Shard::end() {
  slot_.set_shard(nullptr);
  ending_ = true;
  while (stages_reached_ < stages) set_.reached(stages_reached_++, *this);
  cancel_children();
  for (const ShardUse& use : uses_) use.task_->cancel();
  bool stop = false;
  while (!all_ended()) try {
      co_await AllDone(waiting_, false, "the last calls on its object of a Sharded", false);
    } catch (const Cancelled&) {
      stop = true;
    }
  if (stop) current.task->defer_cancel();
}

// All of them.

ShardSet::Running::Running(ShardSet& set, std::size_t count) : set_(set) {
  if (set.sync_ != nullptr) throw std::logic_error("a Sharded is in use by another run_on_threads()");
  set.sync_ = new Sync(count);
  for (std::size_t index = 0; index < count; ++index) {
    set.sync_->slots[index].index_ = index;
    set.sync_->slots[index].sync_ = &set.sync_->syncs[index];
  }
  set.slots_ = set.sync_->slots.data();
  set.count_ = count;
}

ShardSet::Running::~Running() {
  delete std::exchange(set_.sync_, nullptr);
  set_.slots_ = nullptr;
  set_.count_ = 0;
}

ShardSlot& ShardSet::slot(std::size_t index) const {
  if (count_ == 0) throw std::logic_error("Sharded.invoke_on(): run_on_threads() doesn't run with it");
  if (index >= count_)
    throw ValueError("Sharded.invoke_on(): there are " + std::to_string(count_) + " loops, and no loop " +
                     std::to_string(index));
  return slots_[index];
}

Shard& ShardSet::here(const char* operation) const { return *slots_[index_here(operation)].sync_->shard; }

std::size_t ShardSet::index_here(const char* operation) const {
  if (current.loop != nullptr)
    for (std::size_t index = 0; index < count_; ++index)
      if (slots_[index].sync_->loop.load(std::memory_order_relaxed) == current.loop) {
        if (slots_[index].sync_->shard == nullptr) throw ShardEnded(index);
        return index;
      }
  throw std::logic_error(std::string(operation) + ": none of its objects is on this thread");
}

// The last that comes has all others go on, which waits for none of them.
void ShardSet::reached(unsigned stage, Shard&) noexcept {
  if (!sync_->syncs.front().process.is_here()) return;
  {
    const std::lock_guard lock(sync_->mutex);
    if (++sync_->reached[stage] < count_) return;
  }
  for (std::size_t index = 0; index < count_; ++index) {
    ShardSlot::Sync& sync = sync_->syncs[index];
    const std::lock_guard lock(sync.mutex);
    if (sync.shard == nullptr) continue;
    sync.shard->expect_message();
    sync.shard->event_loop().post(sync.shard->message_);
  }
}

Task<void> ShardSet::run(std::size_t index, void* object, ThreadMain& function) {
  ShardSlot& slot = slots_[index];
  Shard shard(*this, slot, object);
  slot.sync_->loop.store(current.loop, std::memory_order_relaxed);
  slot.set_shard(&shard);
  std::exception_ptr failure;
  auto ending = shard.end();  // before anything runs: without memory for it nobody could be waited for
  try {
    co_await shard.wait_for_others(0, "the objects of the other loops (Sharded)");
    co_await function(index);
    co_await shard.wait_for_others(1, "the ends of the other loops' functions (Sharded)");
  } catch (...) {
    failure = std::current_exception();
  }
  co_await std::move(ending);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

}  // namespace heddle
