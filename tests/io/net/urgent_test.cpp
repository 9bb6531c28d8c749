// Urgent data: a byte that stands apart (MSG_OOB) costs a read or two, and nothing after it.
// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include <functional>
#include <string>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../support/faulty_system.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

Task<void> collect(TcpStream& stream, std::string& all) {
  std::string buffer(4096, '\0');
  while (const std::size_t size = co_await stream.read_some(std::span(buffer))) all.append(buffer, 0, size);
}

Task<void> collect_vectored(TcpStream& stream, std::string& all) {
  std::string buffer(4096, '\0');
  const std::span<std::byte> room = std::as_writable_bytes(std::span(buffer));
  const std::vector<MutableBuffer> buffers{MutableBuffer(room.first(10)), MutableBuffer(room.subspan(10))};
  for (;;) {
    const std::size_t size = co_await stream.read_some(std::span<const MutableBuffer>(buffers));
    if (size == 0) break;
    all.append(buffer, 0, size);
  }
}

Task<void> wait_for_size(const std::string& all, std::size_t size) {
  while (all.size() < size) co_await sleep(100us);
}

}  // namespace

ON_SELECTORS(
    "after a byte of urgent data nothing is lost, and a message costs as many receives as before it") {
  for (const Call receive : {Call::RECV, Call::RECVMSG}) {
    FaultySystem system;
    run_on(
        selector,
        [&]() -> Task<void> {
          HalfPair pair = stream_and_peer();
          std::string all;
          auto reader = receive == Call::RECV ? spawn(collect(pair.stream, all))
                                              : spawn(collect_vectored(pair.stream, all));
          constexpr int messages = 50;
          std::size_t sent = 0;
          const auto count = [&]() -> Task<int> {
            const int before = system.made(receive);
            for (int i = 0; i < messages; ++i) {
              must(static_cast<int>(::send(pair.peer.fileno(), "m", 1, 0)));
              auto arriving = wait_for_size(all, ++sent);
              co_await timeout(5s, std::move(arriving));
            }
            co_return system.made(receive) - before;
          };
          const int usual = co_await count();
          must(static_cast<int>(::send(pair.peer.fileno(), "abc", 3, 0)));
          must(static_cast<int>(::send(pair.peer.fileno(), "!", 1, MSG_OOB)));
          must(static_cast<int>(::send(pair.peer.fileno(), "def", 3, 0)));
          sent += 6;
          auto arriving = wait_for_size(all, sent);
          co_await timeout(5s, std::move(arriving));
          CHECK(all.ends_with("abcdef"));
          const int afterwards = co_await count();
          CHECK(afterwards <= usual + 5);
          pair.peer.close();
          co_await timeout(5s, std::move(reader));
        },
        &system);
  }
}
