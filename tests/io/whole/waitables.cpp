// The list of all objects that tasks can wait at.
// SPDX-License-Identifier: MIT
#include "waitables.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "../../../io/file/pipe.hpp"
#include "../../../io/net/tcp.hpp"
#include "../../../io/net/udp.hpp"
#include "../../../io/net/unix.hpp"
#include "../../../io/process/process.hpp"
#include "../../../io/server/server.hpp"
#include "../../../io/stream/memory_listener.hpp"
#include "../../../io/stream/memory_stream.hpp"
#include "../../../io/stream/stream_reader.hpp"
#include "../../../io/stream/stream_writer.hpp"
#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/loop/signals.hpp"
#include "../../../runtime/sync/barrier.hpp"
#include "../../../runtime/sync/broadcast.hpp"
#include "../../../runtime/sync/condition.hpp"
#include "../../../runtime/sync/event.hpp"
#include "../../../runtime/sync/future.hpp"
#include "../../../runtime/sync/latch.hpp"
#include "../../../runtime/sync/lifo_queue.hpp"
#include "../../../runtime/sync/lock.hpp"
#include "../../../runtime/sync/priority_queue.hpp"
#include "../../../runtime/sync/queue.hpp"
#include "../../../runtime/sync/semaphore.hpp"
#include "../../../runtime/sync/watch.hpp"
#include "../../../runtime/task/as_completed.hpp"
#include "../../../runtime/task/async_generator.hpp"
#include "../../../runtime/task/interval.hpp"
#include "../../../runtime/task/sleep.hpp"
#include "../../../runtime/threads/channel.hpp"
#include "../../../runtime/threads/remote_task.hpp"
#include "../../../runtime/threads/sharded.hpp"
#include "../../../runtime/threads/thread_pool.hpp"
#include "../../support/turns.hpp"

namespace heddle::test {

namespace {

using namespace std::chrono_literals;

template <class T>
class WaitableOf final : public Waitable {
 public:
  using Wait = Task<void> (*)(T&);
  using Wake = void (*)(T&);
  WaitableOf(std::unique_ptr<T> object, Wait to_wait, Wake to_wake)
      : object_(std::move(object)), wait_(to_wait), wake_(to_wake) {}

  HEDDLE_CORO_WRAPPER Task<void> wait() override { return wait_(*object_); }
  void wake() override { wake_(*object_); }

 private:
  std::unique_ptr<T> object_;
  Wait wait_;
  Wake wake_;
};

// A loop of its own with an object, until this goes.
class ShardElsewhere {
 public:
  ShardElsewhere()
      : thread_([this] {
          run_on_threads(1, numbers, [this](std::size_t) -> Task<void> {
            main_ = RemoteHandle(*detail::current.task);
            begun_.store(true);
            begun_.notify_one();
            co_await sleep(std::nullopt);
          });
        }) {
    begun_.wait(false);
  }
  ~ShardElsewhere() {
    main_.cancel();
    thread_.join();
  }

  Sharded<int> numbers;

 private:
  RemoteHandle main_;
  std::atomic<bool> begun_ = false;
  std::thread thread_;
};

template <class T>
WaitableKind kind(
    std::string name, std::string end, std::unique_ptr<T> (*make)(), Task<void> (*wait)(T&),
    void (*wake)(T&) = [](T&) {}) {
  return {std::move(name), std::move(end),
          [=]() -> std::unique_ptr<Waitable> { return std::make_unique<WaitableOf<T>>(make(), wait, wake); }};
}

template <class T>
std::unique_ptr<T> make() {
  return std::make_unique<T>();
}

struct Flags {
  Lock lock;
  Condition shared{lock};
  bool holds = lock.try_acquire();
};
struct Promised {
  Promise<int> promise;
};
struct MemoryEnds {
  explicit MemoryEnds(bool full) {
    std::tie(here, there) = memory_pair(1);
    if (full)
      filled =
          spawn([](MemoryStream& stream) -> Task<void> { co_await stream.write_all("x"); }, std::ref(here));
  }
  MemoryStream there;
  MemoryStream here;  // goes first
  JoinHandle<void> filled;
};
struct MemoryPeer {
  MemoryPeer() { std::tie(*waiting, peer) = memory_pair(1); }
  std::shared_ptr<MemoryStream> waiting = std::make_shared<MemoryStream>();
  MemoryStream peer;
};
template <class T>
struct Read {
  std::pair<UnixStream, UnixStream> pair = socket_pair();
  T reader{pair.first};
};
struct Written {
  MemoryStream here;
  MemoryStream there;
  std::optional<StreamWriter<MemoryStream>> writer;
};
AsyncGenerator<int> slow_numbers() {
  co_await sleep(30ms);  // longer than a busy machine keeps those who destroy it waiting
  co_yield 1;
}
struct Served {
  Server server;
  Served() {
    server.listen(Address("127.0.0.1", 0), [](TcpStream&) -> Task<void> { co_return; });
  }
};
struct Listening {
  TcpListener listener = TcpListener::bind(Address("127.0.0.1", 0));
};
struct UnixListening {
  static inline int count = 0;
  UnixListener listener = UnixListener::bind(
      UnixAddress::abstract("heddle-waitable-" + std::to_string(::getpid()) + "-" + std::to_string(++count)));
};
struct Datagrams {
  UdpSocket socket = UdpSocket::bind(Address("127.0.0.1", 0));
};
struct Child {
  Process process = Process::spawn(Command("sleep", "10").output(Stdio::pipe()));
};
struct SocketEnds {
  std::pair<UnixStream, UnixStream> pair = socket_pair();
};

void add_sync(std::vector<WaitableKind>& all) {
  all.push_back(kind<Lock>(
      "Lock.acquire()", "Lock.acquire(): the Lock was destroyed",
      [] {
        auto lock = std::make_unique<Lock>();
        static_cast<void>(lock->try_acquire());
        return lock;
      },
      [](Lock& lock) -> Task<void> { co_await lock.acquire(); },
      [](Lock& lock) {
        if (lock.locked()) lock.release();
      }));
  all.push_back(kind<Lock>("Lock.scoped(), and its Guard", "done", &make<Lock>, [](Lock& lock) -> Task<void> {
    const auto guard = co_await lock.scoped();
    co_await sleep(2ms);
  }));
  all.push_back(kind<Semaphore>(
      "Semaphore.acquire()", "Semaphore.acquire(): the Semaphore was destroyed",
      [] { return std::make_unique<Semaphore>(0); },
      [](Semaphore& semaphore) -> Task<void> { co_await semaphore.acquire(); },
      [](Semaphore& semaphore) { semaphore.release(); }));
  all.push_back(kind<Semaphore>(
      "Semaphore.scoped(), and its Guard", "Semaphore.scoped(): the Semaphore was destroyed",
      [] { return std::make_unique<Semaphore>(0); },
      [](Semaphore& semaphore) -> Task<void> {
        const auto guard = co_await semaphore.scoped();
        co_await sleep(1ms);
      },
      [](Semaphore& semaphore) { semaphore.release(); }));
  all.push_back(kind<Event>(
      "Event.wait()", "Event.wait(): the Event was destroyed", &make<Event>,
      [](Event& event) -> Task<void> { co_await event.wait(); }, [](Event& event) { event.set(); }));
  all.push_back(kind<Condition>(
      "Condition.wait()", "Condition.wait(): the Condition was destroyed", &make<Condition>,
      [](Condition& condition) -> Task<void> {
        const auto guard = co_await condition.scoped();
        co_await condition.wait();
      },
      [](Condition& condition) {
        if (!condition.lock().try_acquire()) return;
        condition.notify();
        condition.release();
      }));
  all.push_back(kind<Condition>(
      "Condition.wait_for()", "Condition.wait(): the Condition was destroyed", &make<Condition>,
      [](Condition& condition) -> Task<void> {
        const auto guard = co_await condition.scoped();
        co_await condition.wait_for([] { return false; });
      },
      [](Condition& condition) {
        if (!condition.lock().try_acquire()) return;
        condition.notify();
        condition.release();
      }));
  all.push_back(kind<Flags>(
      "Condition.wait() with a shared Lock that is held", "Condition.wait(): the Condition was destroyed",
      &make<Flags>, [](Flags& flags) -> Task<void> { co_await flags.shared.wait(); },
      [](Flags& flags) {
        if (flags.lock.try_acquire()) flags.shared.notify();
      }));
  all.push_back(kind<Barrier>(
      "Barrier.wait()", "Barrier.wait(): the Barrier was destroyed",
      [] { return std::make_unique<Barrier>(9); },
      [](Barrier& barrier) -> Task<void> { co_await barrier.wait(); }));
  all.push_back(kind<Latch>(
      "Latch.wait()", "Latch.wait(): the Latch was destroyed", [] { return std::make_unique<Latch>(1); },
      [](Latch& latch) -> Task<void> { co_await latch.wait(); },
      [](Latch& latch) {
        if (!latch.try_wait()) latch.count_down();
      }));
  all.push_back(kind<Promised>(
      "Promise", "the Promise was dropped", &make<Promised>,
      [](Promised& promised) -> Task<void> {
        Future<int> future = promised.promise.future();
        co_await future;
      },
      [](Promised& promised) {
        if (promised.promise.wanted()) promised.promise.set_result(1);
      }));
  all.push_back(kind<Broadcast<int>>(
      "Broadcast", "done", [] { return std::make_unique<Broadcast<int>>(4); },
      [](Broadcast<int>& sender) -> Task<void> {
        Subscription<int> reader = sender.subscribe();
        co_await reader.receive();
      },
      [](Broadcast<int>& sender) { sender.send(1); }));
  all.push_back(kind<Subscription<int>>(
      "Subscription.receive()", "Subscription.receive(): the Subscription was destroyed",
      [] {
        static Broadcast<int> sender(4);
        return std::make_unique<Subscription<int>>(sender.subscribe());
      },
      [](Subscription<int>& reader) -> Task<void> { co_await reader.receive(); }));
  all.push_back(kind<Watch<int>>(
      "Watch", "done", [] { return std::make_unique<Watch<int>>(1); },
      [](Watch<int>& sender) -> Task<void> {
        auto reader = sender.subscribe();
        co_await reader.changed();
      },
      [](Watch<int>& sender) { sender.set(2); }));
  using WatchReader = detail::WatchReader<int>;
  all.push_back(kind<WatchReader>(
      "WatchReader.wait_for()", "WatchReader.changed(): the WatchReader was destroyed",
      [] {
        static Watch<int> sender(1);
        return std::make_unique<WatchReader>(sender.subscribe());
      },
      [](WatchReader& reader) -> Task<void> {
        co_await reader.wait_for([](int value) { return value == 2; });
      }));
}

template <class Q>
void add_queue(std::vector<WaitableKind>& all, const std::string& name) {
  const auto full = [] {
    auto queue = std::make_unique<Q>(1);
    queue->put_nowait(1);
    return queue;
  };
  all.push_back(kind<Q>(
      name + ".get()", "Queue.get(): the Queue was destroyed", [] { return std::make_unique<Q>(1); },
      [](Q& queue) -> Task<void> { co_await queue.get(); }, [](Q& queue) { queue.try_put(1); }));
  all.push_back(kind<Q>(
      name + ".put()", "Queue.put(): the Queue was destroyed", full,
      [](Q& queue) -> Task<void> { co_await queue.put(2); }, [](Q& queue) { queue.try_get(); }));
  all.push_back(kind<Q>(
      name + ".join()", "Queue.join(): the Queue was destroyed", full,
      [](Q& queue) -> Task<void> { co_await queue.join(); }, [](Q& queue) { queue.shutdown(true); }));
}

void add_tasks_and_threads(std::vector<WaitableKind>& all) {
  all.push_back(kind<Interval>(
      "Interval.tick()", "Interval.tick(): the Interval was destroyed",
      [] { return std::make_unique<Interval>(1h); },
      [](Interval& every) -> Task<void> { co_await every.tick(); },
      [](Interval& every) { every.reset_at(EventLoop::running().time()); }));
  all.push_back(kind<SignalStream>(
      "SignalStream.next()", "SignalStream.next(): the SignalStream was destroyed",
      [] { return std::make_unique<SignalStream>(SIGUSR1); },
      [](SignalStream& signals) -> Task<void> { co_await signals.next(); },
      [](SignalStream&) { std::raise(SIGUSR1); }));
  all.push_back(kind<AsCompleted<void>>(
      "AsCompleted.next()", "AsCompleted.next(): the AsCompleted was destroyed",
      [] {
        auto results = std::make_unique<AsCompleted<void>>();
        results->add(spawn([]() -> Task<void> { co_await sleep(3ms); }));
        return results;
      },
      [](AsCompleted<void>& results) -> Task<void> { co_await results.next(); }));
  all.push_back(kind<AsyncGenerator<int>>(
      "AsyncGenerator.next()", "AsyncGenerator.next(): the AsyncGenerator was destroyed",
      [] { return std::make_unique<AsyncGenerator<int>>(slow_numbers()); },
      [](AsyncGenerator<int>& numbers) -> Task<void> { co_await numbers.next(); }));
  using Joined = JoinHandle<void>;
  all.push_back(kind<Joined>(
      "JoinHandle", "done",
      [] { return std::make_unique<Joined>(spawn([]() -> Task<void> { co_await sleep(3ms); })); },
      [](Joined& task) -> Task<void> { co_await task; }));
  using Remote = RemoteJoinHandle<void>;
  all.push_back(kind<Remote>(
      "RemoteJoinHandle", "done",
      [] {
        return std::make_unique<Remote>(
            spawn_threadsafe(EventLoop::running(), []() -> Task<void> { co_await sleep(3ms); }));
      },
      [](Remote& task) -> Task<void> { co_await task; }));
  all.push_back(kind<Channel<int>>(
      "Channel.receive()", "done", [] { return std::make_unique<Channel<int>>(1); },
      [](Channel<int>& channel) -> Task<void> { co_await channel.receive(); },
      [](Channel<int>& channel) { channel.try_send(1); }));
  all.push_back(kind<Channel<int>>(
      "Channel.send()", "the channel is closed", [] { return std::make_unique<Channel<int>>(0); },
      [](Channel<int>& channel) -> Task<void> { co_await channel.send(1); },
      [](Channel<int>& channel) { channel.try_receive(); }));
  all.push_back(kind<ShardElsewhere>(
      "Sharded.invoke_on()", "the object of a Sharded on loop 0 has ended",
      [] { return std::make_unique<ShardElsewhere>(); },
      [](ShardElsewhere& there) -> Task<void> {
        auto nap = [](int&) -> Task<void> { co_await sleep(3ms); };
        co_await there.numbers.invoke_on(0, nap);
      }));
  all.push_back(kind<ThreadPool>(
      "ThreadPool.run()", "done", [] { return std::make_unique<ThreadPool>(1); },
      [](ThreadPool& pool) -> Task<void> { co_await pool.run([] { std::this_thread::sleep_for(2ms); }); }));
}

void add_streams(std::vector<WaitableKind>& all) {
  all.push_back(kind<MemoryEnds>(
      "MemoryStream.read_some()", "read on a memory stream: Operation canceled",
      [] { return std::make_unique<MemoryEnds>(false); },
      [](MemoryEnds& ends) -> Task<void> {
        char buffer[8];
        co_await ends.here.read_some(buffer);
      },
      [](MemoryEnds& ends) { ends.there.shutdown_write(); }));
  all.push_back(kind<MemoryEnds>(
      "MemoryStream.write_all()", "write on a memory stream: Operation canceled",
      [] { return std::make_unique<MemoryEnds>(true); },
      [](MemoryEnds& ends) -> Task<void> { co_await ends.here.write_all("yz"); }));
  all.push_back(kind<MemoryPeer>("the peer of a MemoryStream", "write on a memory stream: Broken pipe",
                                 &make<MemoryPeer>, [](MemoryPeer& pair) -> Task<void> {
                                   const std::shared_ptr<MemoryStream> stream = pair.waiting;
                                   co_await stream->write_all("xyz");
                                 }));
  all.push_back(kind<MemoryListener>(
      "MemoryListener.accept()", "MemoryListener.accept(): the MemoryListener was destroyed",
      [] { return std::make_unique<MemoryListener>(); },
      [](MemoryListener& listener) -> Task<void> { co_await listener.accept(); },
      [](MemoryListener& listener) { listener.connect(); }));
  all.push_back(kind<Read<StreamReader<UnixStream>>>(
      "StreamReader.read_line()", "StreamReader.read_line(): the StreamReader was destroyed",
      &make<Read<StreamReader<UnixStream>>>,
      [](Read<StreamReader<UnixStream>>& read) -> Task<void> { co_await read.reader.read_line(); }));
  all.push_back(kind<Read<StreamReader<UnixStream>>>(
      "StreamReader.read_exactly() into a buffer",
      "StreamReader.read_exactly(): the StreamReader was destroyed", &make<Read<StreamReader<UnixStream>>>,
      [](Read<StreamReader<UnixStream>>& read) -> Task<void> {
        std::string text(9, ' ');
        co_await read.reader.read_exactly(std::as_writable_bytes(std::span(text)));
      }));
  all.push_back(kind<Read<StreamReader<UnixStream>>>(
      "StreamReader.read_all()", "StreamReader.read_all(): the StreamReader was destroyed",
      &make<Read<StreamReader<UnixStream>>>,
      [](Read<StreamReader<UnixStream>>& read) -> Task<void> { co_await read.reader.read_all(99); }));
  const auto written = [] {
    auto made = std::make_unique<Written>();
    std::tie(made->here, made->there) = memory_pair(1);
    made->writer.emplace(made->here);
    made->writer->write("hello");
    return made;
  };
  all.push_back(kind<Written>("StreamWriter.drain()", "StreamWriter.drain(): the StreamWriter was destroyed",
                              written,
                              [](Written& stream) -> Task<void> { co_await stream.writer->drain(); }));
  all.push_back(kind<Written>("StreamWriter.close()", "StreamWriter.drain(): the StreamWriter was destroyed",
                              written,
                              [](Written& stream) -> Task<void> { co_await stream.writer->close(); }));
}

void add_descriptors(std::vector<WaitableKind>& all) {
  all.push_back(kind<SocketEnds>("UnixStream.read_some()", "Operation canceled", &make<SocketEnds>,
                                 [](SocketEnds& ends) -> Task<void> {
                                   char buffer[8];
                                   co_await ends.pair.first.read_some(buffer);
                                 }));
  all.push_back(
      kind<Listening>("TcpListener.accept()", "Operation canceled", &make<Listening>,
                      [](Listening& listening) -> Task<void> { co_await listening.listener.accept(); }));
  all.push_back(
      kind<SocketEnds>("UnixStream.readable()", "Operation canceled", &make<SocketEnds>,
                       [](SocketEnds& ends) -> Task<void> { co_await ends.pair.first.readable(); }));
  all.push_back(
      kind<SocketEnds>("UnixStream.finish()", "done", &make<SocketEnds>,
                       [](SocketEnds& ends) -> Task<void> { co_await ends.pair.first.finish(10s); }));
  all.push_back(kind<SocketEnds>("UnixStream.write_all()", "Operation canceled", &make<SocketEnds>,
                                 [](SocketEnds& ends) -> Task<void> {
                                   const std::string much(4 << 20, 'x');
                                   co_await ends.pair.first.write_all(much);
                                 }));
  all.push_back(kind<SocketEnds>("UnixStream.receive_with_fds()", "Operation canceled", &make<SocketEnds>,
                                 [](SocketEnds& ends) -> Task<void> {
                                   char buffer[8];
                                   co_await ends.pair.first.receive_with_fds(
                                       std::as_writable_bytes(std::span(buffer)), {});
                                 }));
  all.push_back(kind<UnixListening>(
      "UnixListener.accept()", "Operation canceled", &make<UnixListening>,
      [](UnixListening& listening) -> Task<void> { co_await listening.listener.accept(); }));
  all.push_back(kind<Datagrams>("UdpSocket.recv_from()", "Operation canceled", &make<Datagrams>,
                                [](Datagrams& datagrams) -> Task<void> {
                                  char buffer[8];
                                  co_await datagrams.socket.recv_from(buffer);
                                }));
  all.push_back(
      kind<Datagrams>("UdpSocket.readable()", "Operation canceled", &make<Datagrams>,
                      [](Datagrams& datagrams) -> Task<void> { co_await datagrams.socket.readable(); }));
  all.push_back(kind<Pipe>(
      "ReadPipe.read_some()", "Operation canceled", [] { return std::make_unique<Pipe>(make_pipe()); },
      [](Pipe& pipe) -> Task<void> {
        char buffer[8];
        co_await pipe.read.read_some(buffer);
      }));
  all.push_back(kind<Child>(
      "Process.wait()", "done", &make<Child>,
      [](Child& child) -> Task<void> { co_await child.process.wait(); },
      [](Child& child) { child.process.kill(SIGKILL); }));
  all.push_back(kind<Child>(
      "Process.communicate()", "done", &make<Child>,
      [](Child& child) -> Task<void> { co_await child.process.communicate(); },
      [](Child& child) { child.process.kill(SIGKILL); }));
  all.push_back(kind<Child>("Process.stop()", "done", &make<Child>,
                            [](Child& child) -> Task<void> { co_await child.process.stop(1h); }));
  all.push_back(kind<Served>(
      "Server.serve()", "done", &make<Served>,
      [](Served& served) -> Task<void> { co_await served.server.serve(); },
      [](Served& served) { served.server.stop(); }));
  all.push_back(kind<Served>(
      "Server.stopping()", "done", &make<Served>,
      [](Served& served) -> Task<void> { co_await served.server.stopping(); },
      [](Served& served) { served.server.stop(); }));
}

}  // namespace

const std::vector<WaitableKind>& waitable_kinds() {
  static const std::vector<WaitableKind> kinds = [] {
    std::vector<WaitableKind> all;
    add_sync(all);
    add_queue<Queue<int>>(all, "Queue");
    add_queue<LifoQueue<int>>(all, "LifoQueue");
    add_queue<PriorityQueue<int>>(all, "PriorityQueue");
    add_tasks_and_threads(all);
    add_streams(all);
    add_descriptors(all);
    return all;
  }();
  return kinds;
}

}  // namespace heddle::test
