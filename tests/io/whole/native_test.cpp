// Everything in io and runtime that can be awaited is taken for heddle's own: none of it costs a coroutine of
// another type.
// SPDX-License-Identifier: MIT
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "../../../heddle.hpp"
#include "../../support/catch.hpp"

using namespace heddle;

namespace {

template <class... A>
constexpr bool native = (detail::NativeAwaitable<A> && ...);

template <class T>
T& of() noexcept {
  return *static_cast<T*>(nullptr);
}

struct Ours {
  TcpStream& tcp;
  TcpListener& listener;
  MemoryStream& memory;
  MemoryListener& memories;
  StreamReader<TcpStream>& reader;
  StreamWriter<TcpStream>& writer;
  UdpSocket& udp;
  ReadPipe& read_pipe;
  WritePipe& write_pipe;
  File& file;
  std::span<char> room;
  std::string_view text;
  std::span<const std::string_view> texts;
};
extern Ours& it;

static_assert(native<decltype(it.tcp.read_some(it.room)), decltype(it.tcp.write_all(it.text)),
                     decltype(it.tcp.write_some(it.text)), decltype(it.tcp.readable()),
                     decltype(it.tcp.writable()), decltype(it.listener.accept())>);
static_assert(
    native<decltype(it.tcp.read_some(it.room).as_result()), decltype(it.listener.accept().as_result())>);
static_assert(native<decltype(it.memory.read_some(it.room)), decltype(it.memory.write_all(it.text)),
                     decltype(it.memories.accept())>);
static_assert(native<decltype(it.reader.read_line()), decltype(it.reader.read_exactly(5)),
                     decltype(it.writer.flush())>);
static_assert(native<decltype(it.udp.readable())>);
static_assert(native<decltype(it.read_pipe.read_some(it.room)), decltype(it.write_pipe.write_all(it.text))>);
static_assert(native<decltype(it.file.read_some(it.room))>);
static_assert(
    native<decltype(of<Lock>().acquire()), decltype(of<Event>().wait()), decltype(of<Semaphore>().acquire()),
           decltype(of<Latch>().wait()), decltype(of<Queue<int>>().get()), decltype(of<Queue<int>>().put(1)),
           decltype(of<Queue<int>>().join()), decltype(of<Future<int>>()),
           decltype(of<Channel<int>>().send(1)), decltype(of<Channel<int>>().receive()),
           decltype(of<Interval>().tick()), decltype(of<SignalStream>().next())>);
static_assert(
    native<decltype(sleep(Duration())), decltype(yield()), decltype(readable(0)),
           decltype(ready(0, EVENT_READ)), Task<int>, JoinHandle<int>&, ShieldedHandle<int>,
           RemoteJoinHandle<int>&, decltype(of<AsyncGenerator<int>>().next()), decltype(to_thread([] {}))>);

struct Foreign {
  bool await_ready() const noexcept;
  void await_suspend(std::coroutine_handle<>) const noexcept;
  void await_resume() const noexcept;
};
static_assert(!detail::NativeAwaitable<Foreign>);

}  // namespace

TEST_CASE("what heddle has to be awaited is its own") { SUCCEED("it compiles"); }
