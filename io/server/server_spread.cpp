// SpreadState: which servers there are, how many connections each has, and the way of one to another thread.
// SPDX-License-Identifier: MIT
#include "server_spread.hpp"

#include <atomic>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <typeinfo>
#include <vector>

#include "../../runtime/core/runnable.hpp"
#include "../../runtime/core/scheduler.hpp"
#include "../../selector/process_mark.hpp"
#include "../operation/fd.hpp"
#include "server_core.hpp"

namespace heddle::detail {

struct SpreadState::Shared {
  std::atomic<unsigned> references{1};
  std::mutex mutex;
  std::vector<SpreadMember*> members;  // those that serve
  ProcessMark process;  // in the child of a fork() the other loops aren't, one may have the mutex
};

struct SpreadMember::Shared {
  Shared(SpreadState& its_spread, ServerCore& its_core, Scheduler& its_loop) noexcept
      : spread(its_spread), core(its_core), loop(its_loop) {
    const std::size_t limit = its_core.options().max_connections;
    if (limit != 0) most = limit;
  }

  std::atomic<unsigned> references{1};
  Ref<SpreadState> spread;
  ServerCore& core;  // is there as long as anything is on its way
  Scheduler& loop;
  std::size_t most = std::numeric_limits<std::size_t>::max();
  // Raised under the mutex alone, so that no two threads choose the same place.
  std::atomic<std::size_t> live{0};
  std::atomic<std::size_t> on_the_way{0};
  std::vector<const std::type_info*> sources;  // under the mutex: the types of the server's, by their index
};

/// The message that brings a connection to another loop.
class SpreadHandover final : public Runnable {
 public:
  SpreadHandover(SpreadMember& to, std::size_t source) noexcept
      : Runnable(&arrive), to_(to), place_(SpreadMember::Place::adopt(to)), source_(source) {}
  ~SpreadHandover() override = default;

  // The other loop is there at least until it has this.
  void post(int fd) noexcept {
    fd_ = fd;
    to_->shared_.loop.post(*this);
  }

 private:
  static void arrive(Runnable& runnable) noexcept {
    const std::unique_ptr<SpreadHandover> self(static_cast<SpreadHandover*>(&runnable));
    Scheduler::leave_tasks();
    SpreadMember::Shared& shared = self->to_->shared_;
    Fd fd(self->fd_);
    // It was sent in the parent of a fork(), which serves it; the Server of the child may be gone.
    if (!shared.spread->shared_.process.is_here()) return;
    shared.core.take_over(self->source_, std::move(fd), std::move(self->place_));
    shared.on_the_way.fetch_sub(1, std::memory_order_release);
    shared.core.handover_ended();
  }

  Ref<SpreadMember> to_;
  SpreadMember::Place place_;
  std::size_t source_;
  int fd_ = -1;
};

// The spread.

Ref<SpreadState> SpreadState::make() {
  auto shared = std::make_unique<Shared>();
  Ref<SpreadState> state = Ref<SpreadState>::adopt(*new SpreadState(*shared));
  static_cast<void>(shared.release());
  return state;
}

SpreadState::~SpreadState() { delete &shared_; }

void SpreadState::add_reference() noexcept { shared_.references.fetch_add(1, std::memory_order_relaxed); }

void SpreadState::release() noexcept {
  if (shared_.references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

// A member.

SpreadMember::~SpreadMember() { delete &shared_; }

void SpreadMember::add_reference() noexcept { shared_.references.fetch_add(1, std::memory_order_relaxed); }

void SpreadMember::release() noexcept {
  if (shared_.references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void SpreadMember::connection_ended() noexcept {
  shared_.live.fetch_sub(1, std::memory_order_relaxed);
  release();
}

Ref<SpreadMember> SpreadMember::join(SpreadState& spread, ServerCore& core) {
  auto shared = std::make_unique<Shared>(spread, core, running_loop());
  auto member = Ref<SpreadMember>::adopt(*new SpreadMember(*shared));
  static_cast<void>(shared.release());
  SpreadState::Shared& all = spread.shared_;
  if (!all.process.is_here()) return member;
  const std::lock_guard lock(all.mutex);
  all.members.push_back(member.get());
  return member;
}

void SpreadMember::serves(const ServerSource& source) {
  SpreadState::Shared& all = shared_.spread->shared_;
  if (!all.process.is_here()) return;
  const std::lock_guard lock(all.mutex);
  if (shared_.sources.size() <= source.index()) shared_.sources.resize(source.index() + 1);
  shared_.sources[source.index()] = &typeid(source);
}

void SpreadMember::leave() noexcept {
  SpreadState::Shared& all = shared_.spread->shared_;
  if (!all.process.is_here()) return;
  const std::lock_guard lock(all.mutex);
  std::erase(all.members, this);
}

bool SpreadMember::is_on_its_way() const noexcept {
  return shared_.spread->shared_.process.is_here() && shared_.on_the_way.load(std::memory_order_acquire) != 0;
}

SpreadMember& SpreadMember::find_fewest(const ServerSource& source, std::size_t& fewest) const noexcept {
  auto* found = const_cast<SpreadMember*>(this);
  fewest = shared_.live.load(std::memory_order_relaxed);
  for (SpreadMember* const each : shared_.spread->shared_.members) {
    const Shared& other = each->shared_;
    const std::size_t live = other.live.load(std::memory_order_relaxed);
    if (live >= fewest || live >= other.most || source.index() >= other.sources.size()) continue;
    const std::type_info* const type = other.sources[source.index()];
    if (type == nullptr || *type != typeid(source)) continue;
    found = each;
    fewest = live;
  }
  return *found;
}

bool SpreadMember::others_have_room(const ServerSource& source) const noexcept {
  SpreadState::Shared& all = shared_.spread->shared_;
  if (!all.process.is_here()) return false;
  const std::lock_guard lock(all.mutex);
  std::size_t fewest = 0;
  return &find_fewest(source, fewest) != this;
}

SpreadHandover* SpreadMember::choose(const ServerSource& source, Place& here) noexcept {
  SpreadState::Shared& all = shared_.spread->shared_;
  const auto stays = [&]() -> SpreadHandover* {
    shared_.live.fetch_add(1, std::memory_order_relaxed);
    add_reference();
    here = Place::adopt(*this);
    return nullptr;
  };
  if (!all.process.is_here()) return stays();
  const std::lock_guard lock(all.mutex);
  const std::size_t own = shared_.live.load(std::memory_order_relaxed);
  std::size_t fewest = 0;
  SpreadMember& target = find_fewest(source, fewest);
  // To hand over costs a wake-up of another thread: not for a difference that nobody notices.
  if (&target == this || (own <= fewest + fewest / 32 && own < shared_.most)) return stays();
  target.add_reference();
  auto* const message = new (std::nothrow) SpreadHandover(target, source.index());
  if (message == nullptr) {
    target.release();
    return stays();
  }
  target.shared_.live.fetch_add(1, std::memory_order_relaxed);
  target.shared_.on_the_way.fetch_add(1, std::memory_order_relaxed);
  return message;
}

void SpreadMember::send(SpreadHandover& message, int fd) noexcept { message.post(fd); }

}  // namespace heddle::detail
