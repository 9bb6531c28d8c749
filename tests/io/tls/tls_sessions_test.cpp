// Sessions of TLS: resumed in the context and for the name that they were made for, and nowhere else.
// SPDX-License-Identifier: MIT
#include <openssl/ssl.h>

#include <string>

#include "../../../io/tls/tls_state.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

enum class Kept { IN_TICKETS, BY_ID };

/// A client that offers TLS up to `version` alone.
TlsContext client_of(TlsVersion version, Kept kept = Kept::IN_TICKETS,
                     TlsOptions options = client_options()) {
  options.max_version = version;
  TlsContext context = TlsContext::client(options);
  if (kept == Kept::BY_ID) ::SSL_CTX_set_options(context.state().context, SSL_OP_NO_TICKET);
  return context;
}

/// How the server ends that is visited, and whether it has resumed a session.
std::string visit(const TlsContext& client, const TlsContext& server, const std::string& name) {
  return run_in_virtual_time([&]() -> Task<std::string> {
    auto [near_end, far_end] = memory_pair();
    const auto serve = [&](MemoryStream plain) -> Task<std::string> {
      auto stream = co_await start_tls(std::move(plain), server);
      co_await stream.write_all("hi");
      co_await stream.finish(2s);
      co_return stream.resumed() ? "resumed" : "anew";
    };
    const auto come = [&](MemoryStream plain) -> Task<void> {
      auto stream = co_await start_tls(std::move(plain), client, name);
      co_await read_once(stream);
      co_await stream.finish(2s);
    };
    auto client_end = spawn(end_of(come(std::move(near_end))));
    std::string end;
    try {
      end = co_await serve(std::move(far_end));
    } catch (const TlsError& error) {
      end = error.what();
    }
    co_await client_end;
    co_return end;
  });
}

/// The client offers for `to` the session that it has of `from`.
void carry_over(const TlsContext& client, const std::string& from, const std::string& to) {
  auto& sessions = client.state().sessions;
  SSL_SESSION* const session = sessions.take(from);
  REQUIRE(session != nullptr);
  sessions.keep(to, session);
}

}  // namespace

ON_SELECTORS("a second visit resumes the session, in TLS 1.3 and 1.2, unless that is turned off") {
  run_on(selector, []() -> Task<void> {
    const auto second_resumes = [](TlsContext client, TlsContext server) -> Task<bool> {
      bool resumed = false;
      for (int i = 0; i < 2; ++i) {
        auto pair = co_await tls_pair(client, server);
        resumed = pair.client.resumed();
        CHECK(pair.server.resumed() == resumed);
        co_await pair.server.write_all("x");  // tickets come with what is read first
        const std::string got = co_await read_once(pair.client);
        CHECK(got == "x");
        auto ends = co_await gather(end_of(pair.client.finish(5s)), end_of(pair.server.finish(5s)));
        CHECK(std::get<0>(ends) == "done");
      }
      co_return resumed;
    };
    TlsOptions server = server_options();
    bool resumed = co_await second_resumes(client_context(), TlsContext::server(server));
    CHECK(resumed);
    server.resumption = false;
    resumed = co_await second_resumes(client_context(), TlsContext::server(server));
    CHECK_FALSE(resumed);
    TlsOptions client = client_options();
    client.resumption = false;
    resumed = co_await second_resumes(TlsContext::client(client), server_context());
    CHECK_FALSE(resumed);
  });
}

TEST_CASE("a session is resumed for the name and in the context that it was made for, and nowhere else") {
  TlsContext server = TlsContext::server(server_options(certificates().many));
  TlsOptions options = server_options(certificates().many);
  server.add_name("c.example.org", TlsContext::server(options));
  options.client_certificate = ClientCertificate::REQUIRED;
  options.ca_pem = certificates().authority.certificate;
  server.add_name("private.example.org", TlsContext::server(options));
  const TlsContext elsewhere = TlsContext::server(server_options(certificates().many));
  const std::string strict = "TLS handshake: peer did not return a certificate";
  for (const TlsVersion version : {TlsVersion::TLS_1_2, TlsVersion::TLS_1_3}) {
    struct Step {
      std::string from, to, end;
    };
    for (const auto& [from, to, end] :
         {Step{"a.example.org", "a.example.org", "resumed"},
          Step{"a.example.org", "A.Example.ORG.", "resumed"}, Step{"a.example.org", "b.example.org", "anew"},
          Step{"a.example.org", "c.example.org", "anew"}, Step{"c.example.org", "a.example.org", "anew"},
          Step{"c.example.org", "c.example.org", "resumed"},
          Step{"a.example.org", "private.example.org", strict},
          Step{"c.example.org", "private.example.org", strict}}) {
      INFO(static_cast<int>(version) << ": " << from << " for " << to);
      const TlsContext client = client_of(version);
      CHECK(visit(client, server, from) == "anew");
      carry_over(client, from, to);
      CHECK(visit(client, server, to) == end);
      CHECK(visit(client, server, "b.example.org") == (to == "b.example.org" ? "resumed" : "anew"));
    }
    const TlsContext client = client_of(version);
    CHECK(visit(client, server, "a.example.org") == "anew");
    CHECK(visit(client, elsewhere, "a.example.org") == "anew");
    CHECK(visit(client, elsewhere, "a.example.org") == "resumed");
    // A client that is known there resumes as that one.
    const TlsContext known = client_of(version, Kept::IN_TICKETS, known_client_options());
    CHECK(visit(known, server, "private.example.org") == "anew");
    CHECK(visit(known, server, "private.example.org") == "resumed");
    carry_over(known, "private.example.org", "a.example.org");
    CHECK(visit(known, server, "a.example.org") == "anew");
  }
}

TEST_CASE("a session that is known by an id is not resumed: a server keeps none") {
  TlsContext server = TlsContext::server(server_options(certificates().many));
  server.add_name("c.example.org", TlsContext::server(server_options(certificates().many)));
  for (const char* name : {"a.example.org", "c.example.org"}) {
    const TlsContext client = client_of(TlsVersion::TLS_1_2, Kept::BY_ID);
    for (int i = 0; i < 3; ++i) CHECK(visit(client, server, name) == "anew");
  }
}
