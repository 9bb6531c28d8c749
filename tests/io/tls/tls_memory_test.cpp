// Without memory OpenSSL fails, too: a process of its own, because its allocator is chosen once.
// SPDX-License-Identifier: MIT
#include <openssl/crypto.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "../../../io/tls/tls_engine.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;
using heddle::detail::TlsEngine;
using Step = TlsEngine::Step;

namespace {

/// OpenSSL's allocator, whose `left`-th call fails.
struct Memory {
  long left = 0;
  long calls = 0;
  long alive = 0;

  bool fails() {
    ++calls;
    return left > 0 && --left == 0;
  }
};
Memory memory;

void* allocate(std::size_t size, const char*, int) {
  if (memory.fails()) return nullptr;
  ++memory.alive;
  return std::malloc(size);
}
void* reallocate(void* block, std::size_t size, const char*, int) {
  if (memory.fails()) return nullptr;
  if (block == nullptr) ++memory.alive;
  return std::realloc(block, size);
}
void release(void* block, const char*, int) {
  if (block != nullptr) --memory.alive;
  std::free(block);
}

const bool is_ours = ::CRYPTO_set_mem_functions(&allocate, &reallocate, &release) == 1;

std::string take_output(TlsEngine& engine) {
  std::string bytes;
  while (engine.has_output()) {
    const auto output = engine.output();
    bytes.append(reinterpret_cast<const char*>(output.data()), output.size());
    engine.sent(output.size());
  }
  return bytes;
}
bool carry(TlsEngine& from, TlsEngine& to) {
  const std::string bytes = take_output(from);
  to.receive(std::as_bytes(std::span(bytes)));
  return !bytes.empty();
}
bool step(TlsEngine& engine, Step step) {
  if (step == Step::FAILED) engine.raise("step", -1);
  return step == Step::DONE;
}

void talk(const TlsContext& client_context, const TlsContext& server_context) {
  TlsEngine client(client_context, "localhost");
  TlsEngine server(server_context, "");
  bool client_done = false;
  bool server_done = false;
  for (int i = 0; i < 20 && !(client_done && server_done); ++i) {
    if (!client_done) client_done = step(client, client.handshake());
    carry(client, server);
    if (!server_done) server_done = step(server, server.handshake());
    carry(server, client);
  }
  std::string text = "hello";
  std::size_t size = 0;
  step(client, client.write(std::as_bytes(std::span(text)), size));
  carry(client, server);
  step(server, server.read(std::as_writable_bytes(std::span(text)), size));
  step(client, client.read(std::as_writable_bytes(std::span(text)), size));
  server.peer_subject();
  client.peer_certificate();
}

struct Outcomes {
  int out_of_memory = 0;
  std::vector<std::string> others;
};
/// How `scenario` ends when an allocation of OpenSSL's fails: each third of them, one in each run.
Outcomes fail_each(const std::function<void()>& scenario) {
  Outcomes ends;
  scenario();
  scenario();  // what is made once is there now
  const long before = memory.calls;
  scenario();
  const long most = memory.calls - before;
  const long alive = memory.alive;
  for (long n = 1; n <= most; n += 3) {
    memory.left = n;
    try {
      scenario();
    } catch (const std::bad_alloc&) {
      ++ends.out_of_memory;
    } catch (const std::exception& error) {
      ends.others.emplace_back(error.what());
    }
    memory.left = 0;
  }
  scenario();  // nothing is broken by it
  INFO(memory.alive << " blocks, " << alive << " before");
  CHECK(memory.alive <= alive + most / 10);  // OpenSSL keeps a few for itself
  return ends;
}

}  // namespace

TEST_CASE("without memory for OpenSSL a TLS connection fails, and with bad_alloc where OpenSSL says why") {
  REQUIRE(is_ours);
  TlsOptions server = server_options();
  server.alpn = {"h2"};
  TlsOptions client = client_options();
  client.alpn = {"h2"};
  for (const TlsVersion version : {TlsVersion::TLS_1_2, TlsVersion::TLS_1_3}) {
    server.max_version = version;
    const TlsContext contexts[] = {TlsContext::client(client), TlsContext::server(server)};
    const Outcomes ends = fail_each([&] { talk(contexts[0], contexts[1]); });
    CHECK(ends.out_of_memory > 100);
    // It takes some of its own failures for a peer's.
    for (const std::string& each : ends.others) {
      INFO(each);
      CHECK_FALSE(each.ends_with("unknown error"));
      CHECK_FALSE(each.ends_with(": "));
    }
  }
}
