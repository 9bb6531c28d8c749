// What one turn may move: however fast the other side is, the selector is polled, and others have their
// turns.
// SPDX-License-Identifier: MIT
#include "../../../io/operation/transfer_turn.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "../../../io/file/pipe.hpp"
#include "../../../io/net/udp.hpp"
#include "../../../io/net/unix.hpp"
#include "../../../io/operation/file_transfer.hpp"
#include "../../../io/stream/copy.hpp"
#include "../../../io/stream/stream_reader.hpp"
#include "../../../io/stream/stream_writer.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

constexpr std::size_t total = 32 << 20;
constexpr std::size_t most_between_polls = 4 << 20;

// Whatever is written was taken already, and whatever is read is there: no call would block, ever.
class EndlessSystem : public KernelSystem {
 public:
  std::size_t largest = 0;  // of a call
  std::uint64_t moved = 0;

  std::ptrdiff_t recv(int, void*, std::size_t size, int) noexcept override { return move(size); }
  std::ptrdiff_t send(int, const void*, std::size_t size, int) noexcept override { return move(size); }
  std::ptrdiff_t recvmsg(int, msghdr* message, int) noexcept override {
    message->msg_controllen = 0;
    message->msg_namelen = 0;
    return move(size_of(*message));
  }
  std::ptrdiff_t sendmsg(int, const msghdr* message, int) noexcept override {
    return move(size_of(*message));
  }
  int recvmmsg(int, mmsghdr* messages, unsigned count, int) noexcept override {
    return batch(messages, count);
  }
  int sendmmsg(int, mmsghdr* messages, unsigned count, int) noexcept override {
    return batch(messages, count);
  }
  std::ptrdiff_t sendfile(int, int, std::int64_t*, std::size_t count) noexcept override {
    return move(count);
  }
  std::ptrdiff_t splice(int, int, std::size_t count) noexcept override { return move(count); }
  std::ptrdiff_t read(int, void*, std::size_t size) noexcept override { return move(size); }
  std::ptrdiff_t write(int, const void*, std::size_t size) noexcept override { return move(size); }

 private:
  static std::size_t size_of(const msghdr& message) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) size += message.msg_iov[i].iov_len;
    return size;
  }
  std::ptrdiff_t move(std::size_t size) {
    largest = std::max(largest, size);
    moved += size;
    return static_cast<std::ptrdiff_t>(size);
  }
  int batch(mmsghdr* messages, unsigned count) {
    std::size_t size = 0;
    for (unsigned i = 0; i < count; ++i) {
      messages[i].msg_len = static_cast<unsigned>(size_of(messages[i].msg_hdr));
      messages[i].msg_hdr.msg_namelen = 0;
      size += messages[i].msg_len;
    }
    move(size);
    return static_cast<int>(count);
  }
};

struct Ends {
  explicit Ends(EndlessSystem& its_system) : system(its_system) { std::tie(near, far) = socket_pair(); }
  EndlessSystem& system;
  static inline std::string bytes = std::string(total, 'x');  // made once: that takes longer than all else
  UnixStream near;
  UnixStream far;
  static std::span<std::byte> room() { return std::as_writable_bytes(std::span(bytes)); }
};

struct Operation {
  const char* name;
  Task<void> (*move_all)(Ends& ends);
};

const std::vector<Operation> operations{
    {"write_all", [](Ends& ends) -> Task<void> { co_await ends.near.write_all(ends.bytes); }},
    {"write_all of several buffers",
     [](Ends& ends) -> Task<void> {
       const std::string_view all(ends.bytes);
       const std::vector<ConstBuffer> buffers{ConstBuffer(all.substr(0, 5)), ConstBuffer(all.substr(5))};
       co_await ends.near.write_all(std::span<const ConstBuffer>(buffers));
     }},
    {"write_some",
     [](Ends& ends) -> Task<void> {
       while (ends.system.moved < total) co_await ends.near.write_some(ends.bytes);
     }},
    {"write_some of several buffers",
     [](Ends& ends) -> Task<void> {
       const std::string_view all(ends.bytes);
       const std::vector<ConstBuffer> buffers{ConstBuffer(all.substr(0, 5)), ConstBuffer(all.substr(5))};
       while (ends.system.moved < total) co_await ends.near.write_some(std::span<const ConstBuffer>(buffers));
     }},
    {"read_some",
     [](Ends& ends) -> Task<void> {
       while (ends.system.moved < total) co_await ends.near.read_some(ends.room());
     }},
    {"read_some into several buffers",
     [](Ends& ends) -> Task<void> {
       const std::vector<MutableBuffer> buffers{MutableBuffer(ends.room().first(5)),
                                                MutableBuffer(ends.room().subspan(5))};
       while (ends.system.moved < total)
         co_await ends.near.read_some(std::span<const MutableBuffer>(buffers));
     }},
    {"peek",
     [](Ends& ends) -> Task<void> {
       while (ends.system.moved < total) co_await ends.near.peek(ends.room());
     }},
    {"try_write_some",
     [](Ends& ends) -> Task<void> {
       while (ends.system.moved < total)
         if (ends.near.try_write_some(ends.bytes) == 0) co_await yield();
     }},
    {"try_read_some",
     [](Ends& ends) -> Task<void> {
       while (ends.system.moved < total)
         if (!ends.near.try_read_some(ends.room())) co_await yield();
     }},
    {"a StreamReader's read_exactly",
     [](Ends& ends) -> Task<void> {
       StreamReader reader(ends.near);
       co_await reader.read_exactly(total);
     }},
    {"a StreamReader's read_exactly into memory",
     [](Ends& ends) -> Task<void> {
       StreamReader reader(ends.near);
       co_await reader.read_exactly(ends.room());
     }},
    {"a StreamWriter's flush",
     [](Ends& ends) -> Task<void> {
       StreamWriter writer(ends.near);
       writer.write(ends.bytes);
       co_await writer.flush();
     }},
    {"a pipe's write_all",
     [](Ends& ends) -> Task<void> {
       Pipe pipe = make_pipe();
       co_await pipe.write.write_all(ends.bytes);
     }},
    {"a pipe's read_some",
     [](Ends& ends) -> Task<void> {
       Pipe pipe = make_pipe();
       while (ends.system.moved < total) co_await pipe.read.read_some(ends.room());
     }},
    {"send_file", [](Ends& ends) -> Task<void> { co_await ends.near.send_file(0, 0, total); }},
    {"splice",
     [](Ends& ends) -> Task<void> {
       while (ends.system.moved < total) co_await splice(ends.near.fd(), ends.far.fd(), total);
     }},
    {"send_with_fds", [](Ends& ends) -> Task<void> { co_await ends.near.send_with_fds(ends.bytes, {}); }},
    {"receive_with_fds",
     [](Ends& ends) -> Task<void> {
       while (ends.system.moved < total) co_await ends.near.receive_with_fds(ends.room(), {});
     }},
    {"datagrams",
     [](Ends& ends) -> Task<void> {
       auto socket = UdpSocket::bind(any_port());
       const auto datagram = ends.room().first(60'000);
       while (ends.system.moved < total) {
         co_await socket.send_to(datagram, any_port());
         co_await socket.recv_from(datagram);
       }
     }},
    {"recv_batch",
     [](Ends& ends) -> Task<void> {
       auto socket = UdpSocket::bind(any_port());
       DatagramBatch batch(1024, 4096);
       while (ends.system.moved < total) co_await socket.recv_batch(batch);
     }},
    {"send_batch",
     [](Ends& ends) -> Task<void> {
       auto socket = UdpSocket::bind(any_port());
       DatagramBatch batch(1024, 4096);
       while (!batch.full()) batch.push(std::string_view(ends.bytes).substr(0, 4096), any_port());
       while (ends.system.moved < total) co_await socket.send_batch(batch);
     }},
};

}  // namespace

ON_SELECTORS("however fast the other side is, no operation keeps the loop from its selector") {
  for (const Operation& operation : operations) {
    EndlessSystem system;
    std::uint64_t polls = 0;
    run_on(
        selector,
        [&]() -> Task<void> {
          Ends ends(system);
          const std::uint64_t before = EventLoop::running().counters().polls;
          co_await operation.move_all(ends);
          polls = EventLoop::running().counters().polls - before;
        },
        &system);
    INFO(operation.name);
    CHECK(system.moved >= total);
    CHECK(system.moved < total + detail::most_per_turn);
    CHECK(system.largest <= detail::most_per_turn);
    CHECK(polls >= total / most_between_polls);
  }
}

TEST_CASE("connections that come as fast as they are accepted leave the selector its polls") {
  class Crowded : public KernelSystem {
   public:
    int accept(int, sockaddr*, unsigned*) noexcept override { return socket(AF_UNIX, SOCK_STREAM, 0); }
  };
  Crowded system;
  std::uint64_t polls = 0;
  run_on(
      "default",
      [&]() -> Task<void> {
        auto listener = TcpListener::bind(any_port());
        const std::uint64_t before = EventLoop::running().counters().polls;
        for (int i = 0; i < 1024; ++i) static_cast<void>(co_await listener.accept());
        polls = EventLoop::running().counters().polls - before;
      },
      &system);
  CHECK(polls >= 8);
}

ON_SELECTORS("a large write goes on turn by turn: cancelled it says so, and another one waits behind it") {
  EndlessSystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        Ends ends(system);
        auto first =
            spawn([](Ends& all) -> Task<void> { co_await all.near.write_all(all.bytes); }, std::ref(ends));
        auto second =
            spawn([](Ends& all) -> Task<void> { co_await all.near.write_all("end"); }, std::ref(ends));
        co_await yield();
        co_await yield();
        CHECK(system.moved > 0);
        CHECK(system.moved < total);
        CHECK_FALSE(second.done());
        first.cancel();
        const std::uint64_t before = system.moved;
        bool cancelled = false;
        try {
          co_await first;
        } catch (const Cancelled&) {
          cancelled = true;
        }
        CHECK(cancelled);
        co_await second;
        CHECK(system.moved == before + 3);
      },
      &system);
}
