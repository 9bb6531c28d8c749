// Sharded<T>: an object on each loop of run_on_threads(), and calls to that of a given loop.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <memory>  // on purpose: the object of a loop may be aligned as it likes, which a frame isn't
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/awaitable.hpp"
#include "../core/call.hpp"
#include "../task/gather.hpp"
#include "run_on_threads.hpp"
#include "shard.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

namespace detail {

/// What f(instance, args...) comes to: what it returns, or what its Task yields.
template <class F, class T, class... A>
struct ShardResult {
  using type = std::decay_t<std::invoke_result_t<F&, T&, A...>>;
};
template <class F, class T, class... A>
  requires Awaitable<std::invoke_result_t<F&, T&, A...>>
struct ShardResult<F, T, A...> {
  using type = AwaitResult<std::invoke_result_t<F&, T&, A...>>;
};
template <class F, class T, class... A>
using ShardResultOf = typename ShardResult<F, T, A...>::type;

/// The call, on the loop of its instance.
template <class T, class F, class... A>
Task<ShardResultOf<F, T, A...>> call_shard(const ShardSlot& slot, F function, A... arguments) {
  static_assert(fits_in_frame<F> && (fits_in_frame<A> && ...),
                "a coroutine's frame isn't aligned for such an argument: pass a std::unique_ptr to it");
  T& instance = *static_cast<T*>(slot.object());
  if constexpr (Awaitable<std::invoke_result_t<F&, T&, A...>>)
    co_return co_await call(function, instance, std::move(arguments)...);
  else
    co_return call(function, instance, std::move(arguments)...);
}

}  // namespace detail

/// An object of type T on each loop of run_on_threads(), made and destroyed on its loop, which is the only
/// one that uses it: what is split up by loops needs no locks. Others call a function on its loop and await
/// the result.
///
///     heddle::Sharded<Cache> caches;
///     heddle::run_on_threads(4, caches, [&](std::size_t index) -> heddle::Task<void> {
///       caches.local().put("key", index);
///       auto value = co_await caches.invoke_on(2, [](Cache& theirs) { return theirs.get("key"); });
///     });
///
/// The functions of all loops begin when every object was made. The object of a loop whose function has ended
/// is called until all have ended; one that was cancelled, or has failed, ends at once: the calls that run on
/// it are cancelled and waited for, then it is destroyed. A call to an object that has ended, or ends
/// meanwhile, throws ShardEnded. May be used for another run_on_threads() when one is over.
///
/// The calls may be made on any loop, also of other threads, while run_on_threads() runs. What is passed and
/// returned is moved from one thread to the other and must be neither a reference nor share unprotected
/// data.
template <class T>
class Sharded {
 public:
  /// Each loop makes its object with T().
  Sharded()
    requires std::is_default_constructible_v<T>
      : Sharded([](std::size_t) { return T(); }) {}
  /// Each with make(index), which returns a T and is called on all threads at once.
  template <class Make>
    requires std::is_same_v<std::invoke_result_t<Make&, std::size_t>, T>
  explicit Sharded(Make make) : maker_(new MakerOf<Make>(std::move(make))) {}
  Sharded(const Sharded&) = delete;
  Sharded& operator=(const Sharded&) = delete;

  /// The number of loops; 0 when run_on_threads() doesn't run.
  std::size_t size() const noexcept { return shards_.size(); }
  /// The number of this thread's loop. Throws std::logic_error on a loop that has none of the objects, and
  /// when it has ended.
  std::size_t index() const { return shards_.index_here("Sharded.index()"); }
  /// This loop's object: its owner as long as no co_await gives others a turn. Throws as index().
  T& local() const { return *static_cast<T*>(shards_.here("Sharded.local()").object()); }

  /// Awaits `function(object, arguments...)` on loop `index`, with that loop's object, and yields what it
  /// returns or, if that is a Task (or any other awaitable), what that yields; or throws what it threw. Both
  /// are moved there and destroyed there. On the calling loop itself it is called at once, without a hop,
  /// within the calling task. Calls from one task to one loop are begun in their order.
  ///
  /// A request to stop is passed on to the call, and the wait ends with it. Throws ShardEnded; ValueError for
  /// an `index` that isn't below size(); std::logic_error when run_on_threads() doesn't run.
  template <class F, class... A>
  auto invoke_on(std::size_t index, F function, A... arguments) -> Task<detail::ShardResultOf<F, T, A...>> {
    detail::ShardSlot& slot = shards_.slot(index);
    detail::Shard* const own = slot.own();
    auto called = detail::call_shard<T, F, A...>(slot, std::move(function), std::move(arguments)...);
    if (own != nullptr) {
      const detail::ShardUse use(*own);
      co_return co_await std::move(called);
    } else {
      detail::ShardCall<detail::ShardResultOf<F, T, A...>> call(slot, std::move(called));
      co_return co_await call;
    }
  }

  /// invoke_on() all loops at the same time, each with a copy of the function and the arguments; waits for
  /// all. If one fails, the others are cancelled and joined, and its exception is thrown (as gather() does).
  template <class F, class... A>
  Task<void> invoke_on_all(F function, A... arguments) {
    std::vector<Task<void>> calls;
    for (std::size_t index = 0; index < size(); ++index)
      calls.push_back(ignore_result<F, A...>(index, function, arguments...));
    co_await gather(std::move(calls));
  }

  /// `reduce(reduce(initial, a), b)...` of what map(object) comes to on each loop, in the order of the loops;
  /// `reduce` is called on this one. As invoke_on_all().
  template <class Map, class R, class Reduce>
  Task<R> map_reduce(Map map, R initial, Reduce reduce) {
    using Result = detail::ShardResultOf<Map, T>;
    std::vector<Task<Result>> calls;
    for (std::size_t index = 0; index < size(); ++index) calls.push_back(invoke_on<Map>(index, map));
    std::vector<Result> results = co_await gather(std::move(calls));
    for (auto&& each : results) initial = reduce(std::move(initial), std::move(each));
    co_return initial;
  }

  /// For run_on_threads().
  detail::ShardSet& shards() noexcept { return shards_; }
  Task<void> run(std::size_t index, detail::ThreadMain& function) {
    const std::unique_ptr<T> object = maker_->make(index);
    co_await shards_.run(index, object.get(), function);
  }

 private:
  struct Maker {
    virtual ~Maker() = default;
    virtual std::unique_ptr<T> make(std::size_t index) = 0;
  };
  template <class Make>
  struct MakerOf final : Maker {
    explicit MakerOf(Make made_by) : with(std::move(made_by)) {}
    std::unique_ptr<T> make(std::size_t index) override { return std::unique_ptr<T>(new T(with(index))); }
    Make with;
  };

  template <class F, class... A>
  Task<void> ignore_result(std::size_t index, F function, A... arguments) {
    static_cast<void>(co_await invoke_on<F, A...>(index, std::move(function), std::move(arguments)...));
  }

  std::unique_ptr<Maker> maker_;
  detail::ShardSet shards_;
};

/// run_on_threads() with an object of `sharded` on each loop. Throws std::logic_error when that is in use.
template <class T, class F>
void run_on_threads(const ThreadsOptions& threads, Sharded<T>& sharded, F function,
                    const LoopOptions& options = {}) {
  struct Function final : detail::ThreadMain {
    explicit Function(F& f) noexcept : function(f) {}
    HEDDLE_CORO_WRAPPER Task<void> operator()(std::size_t index) override { return function(index); }
    F& function;
  };
  struct Main final : detail::ThreadMain {
    Main(Sharded<T>& all, Function& f) noexcept : sharded(all), function(f) {}
    HEDDLE_CORO_WRAPPER Task<void> operator()(std::size_t index) override {
      return sharded.run(index, function);
    }
    Sharded<T>& sharded;
    Function& function;
  };
  Function called(function);
  Main main(sharded, called);
  const std::size_t count = detail::number_of(threads);
  const detail::ShardSet::Running running(sharded.shards(), count);
  detail::drive_threads(ThreadsOptions{.threads = count, .pin = threads.pin}, main, options);
}
/// The same on `threads` threads, not pinned.
template <class T, class F>
void run_on_threads(std::size_t threads, Sharded<T>& sharded, F function, const LoopOptions& options = {}) {
  run_on_threads(ThreadsOptions{.threads = threads}, sharded, std::move(function), options);
}

}  // namespace heddle

HEDDLE_HEADER_END
