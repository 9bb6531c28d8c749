// TlsStream: whatever fails underneath, memory too.
// SPDX-License-Identifier: MIT
#include <cerrno>
#include <cstddef>
#include <string>

#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

TEST_CASE("without memory a TLS session fails as a whole, and leaves nothing behind") {
  if (!allocations_are_observed()) return;
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  const auto session = [&]() -> Task<void> {
    auto pair = co_await tls_pair(client, server);
    auto results =
        co_await timeout(5s, gather(write_and_end(pair.client, "hello", 5), read_rest(pair.server),
                                    read_rest(pair.client), write_and_end(pair.server, "you too", 7)));
    CHECK(std::get<1>(results) == "hello");
  };
  // OpenSSL tells of it in its own way.
  const auto check = [](const DisturbedRun& run) {
    if (!run.failed_with<TlsError>()) check_usual_end(run);
  };
  CHECK(fail_allocations(session, check).failed >= 10);
}

TEST_CASE("whatever fails underneath comes out of TLS, and the next connection works") {
  class Faulty : public KernelSystem {
   public:
    int error = 0;
    int at = -1;
    bool sending = false;
    int calls[2] = {};
    std::ptrdiff_t recv(int fd, void* data, std::size_t size, int flags) noexcept override {
      return calls[0]++ == at && !sending ? -error : KernelSystem::recv(fd, data, size, flags);
    }
    std::ptrdiff_t send(int fd, const void* data, std::size_t size, int flags) noexcept override {
      return calls[1]++ == at && sending ? -error : KernelSystem::send(fd, data, size, flags);
    }
  };
  const TlsContext client = client_context();
  const TlsContext server = server_context();
  auto session = [&]() -> Task<void> {
    Streams streams = co_await connect_pair();
    const auto there = [&](TcpStream tcp) -> Task<void> {
      auto stream = co_await start_tls(std::move(tcp), client, "localhost");
      co_await write_and_end(stream, "hello", 5);
      const std::string answer = co_await read_rest(stream);
      if (answer != "hello") throw std::runtime_error("incomplete");
    };
    const auto back = [&](TcpStream tcp) -> Task<void> {
      auto stream = co_await start_tls(std::move(tcp), server);
      const std::string text = co_await read_rest(stream);
      co_await write_and_end(stream, text, 5);
    };
    co_await gather(there(std::move(streams.client)), back(std::move(streams.server)));
  };
  for (const bool sending : {false, true})
    for (const int error : {EINTR, ECONNRESET, EPIPE, ENOMEM, ETIMEDOUT})
      for (int n = 0;; ++n) {
        Faulty system;
        system.error = error;
        system.at = n;
        system.sending = sending;
        const int before = open_descriptors(256);
        std::string end;
        bool reached = false;
        run_on(
            "default",
            [&]() -> Task<void> {
              end = co_await timeout(10s, end_of(session()));
              reached = system.calls[sending ? 1 : 0] > n;
              system.at = -1;
              co_await timeout(10s, session());
            },
            &system);
        INFO((sending ? "send " : "recv ") << n << " failed with " << error << ": " << end);
        CHECK(open_descriptors(256) == before);
        if (error == EINTR || !reached) CHECK(end == "done");
        if (error != EINTR && reached)
          CHECK_THAT(end, Catch::Matchers::Contains(std::generic_category().message(error)));
        if (!reached) {
          CHECK(n >= 4);
          break;
        }
      }
}
