// TlsContext::add_name: each property of a context holds for who asks for its name. And how names are
// compared.
// SPDX-License-Identifier: MIT
#include <openssl/ssl.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "../../../io/tls/tls_names.hpp"
#include "../../../io/tls/tls_state.hpp"
#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

/// A property of TlsOptions, set to something else than its default. (Files instead of PEM, and the password
/// of a key, are other ways to the same certificates. `verify` is a client's.)
struct Variant {
  std::string property;
  TlsOptions options;
};

template <class Set>
Variant variant(std::string property, Set set) {
  Variant made{std::move(property), server_options()};
  set(made.options);
  return made;
}

std::vector<Variant> server_variants() {
  std::vector<Variant> all;
  const auto client_certificate = [](TlsOptions& options, ClientCertificate which,
                                     const Identity& authority) {
    options.client_certificate = which;
    options.ca_pem = authority.certificate;
  };
  all.push_back(variant("nothing", [](TlsOptions&) {}));
  all.push_back(variant("certificate_pem, key_pem", [](TlsOptions& options) {
    options.certificate_pem = certificates().self_signed.certificate;
    options.key_pem = certificates().self_signed.key;
  }));
  all.push_back(variant("client_certificate, OPTIONAL", [&](TlsOptions& options) {
    client_certificate(options, ClientCertificate::OPTIONAL, certificates().authority);
  }));
  all.push_back(variant("client_certificate, REQUIRED", [&](TlsOptions& options) {
    client_certificate(options, ClientCertificate::REQUIRED, certificates().authority);
  }));
  all.push_back(variant("ca_pem", [&](TlsOptions& options) {
    client_certificate(options, ClientCertificate::REQUIRED, certificates().other_authority);
  }));
  all.push_back(variant("alpn", [](TlsOptions& options) { options.alpn = {"h2"}; }));
  all.push_back(
      variant("min_version", [](TlsOptions& options) { options.min_version = TlsVersion::TLS_1_3; }));
  all.push_back(
      variant("max_version", [](TlsOptions& options) { options.max_version = TlsVersion::TLS_1_2; }));
  all.push_back(variant("cipher_list", [](TlsOptions& options) { options.cipher_list = "ECDHE+CHACHA20"; }));
  all.push_back(
      variant("ciphersuites", [](TlsOptions& options) { options.ciphersuites = "TLS_AES_128_GCM_SHA256"; }));
  all.push_back(variant("resumption", [](TlsOptions& options) { options.resumption = false; }));
  all.push_back(variant("ignore_truncation", [](TlsOptions& options) { options.ignore_truncation = true; }));
  return all;
}

std::vector<TlsOptions> clients() {
  std::vector<TlsOptions> all(6, client_options());
  all[1] = known_client_options();
  all[2] = known_client_options(certificates().stranger);
  all[3].max_version = TlsVersion::TLS_1_2;
  all[4].alpn = {"http/1.1"};
  all[5].alpn = {"h2"};
  return all;
}

Task<std::string> serve_once(MemoryStream plain, TlsContext context) {
  auto stream = co_await start_tls(std::move(plain), context);
  co_await stream.write_all("hi");
  std::string said = stream.version() + ' ' + stream.cipher() + ' ' + stream.alpn() + ' ' +
                     stream.peer_subject() + (stream.resumed() ? " resumed" : "");
  const std::string end = co_await end_of(read_once(stream));
  co_return said + ' ' + end;
}

Task<std::string> visit_once(MemoryStream plain, TlsContext context, std::string name, bool polite) {
  auto stream = co_await start_tls(std::move(plain), context, name);
  const std::string greeting = co_await read_once(stream);
  if (polite) co_await stream.shutdown_write();
  co_return stream.peer_subject() + ' ' + greeting;
}

Task<std::string> said_or_end(Task<std::string> task) {
  try {
    co_return co_await std::move(task);
  } catch (const std::exception& error) {
    co_return error.what();
  }
}

/// All that is to be seen of two visits, in words; the second one ends without a goodbye.
std::string visits(const TlsOptions& client_options, const TlsContext& server, const std::string& name) {
  const TlsContext client = TlsContext::client(client_options);
  std::string seen;
  for (int i = 0; i < 2; ++i)
    run_in_virtual_time([&]() -> Task<void> {
      auto [near_end, far_end] = memory_pair();
      auto said =
          co_await timeout(20s, gather(said_or_end(visit_once(std::move(near_end), client, name, i == 0)),
                                       said_or_end(serve_once(std::move(far_end), server))));
      seen += std::get<0>(said) + " | " + std::get<1>(said) + '\n';
    });
  return seen;
}

}  // namespace

TEST_CASE(
    "who asks for a name is served with every property of that name's context, and none of the first's") {
  const std::vector<Variant> variants = server_variants();
  const std::vector<TlsOptions> all_clients = clients();
  std::vector<std::vector<std::string>>
      alone;  // by variant and client: what is seen of that context by itself
  for (const Variant& each : variants) {
    const TlsContext context = TlsContext::server(each.options);
    auto& seen = alone.emplace_back();
    for (const TlsOptions& client : all_clients) seen.push_back(visits(client, context, "localhost"));
    INFO(each.property);
    CHECK((&each == &variants.front() || seen != alone.front()));  // so these clients can tell the difference
  }
  for (std::size_t first = 0; first < variants.size(); ++first)
    for (std::size_t named = 0; named < variants.size(); ++named) {
      if (first != 0 && named != 0 && first != 3 && named != 3)
        continue;  // each with the strictest, and with none
      TlsContext context = TlsContext::server(variants[first].options);
      context.add_name("localhost", TlsContext::server(variants[named].options));
      for (std::size_t client = 0; client < all_clients.size(); ++client) {
        INFO(variants[first].property << ", named: " << variants[named].property << ", client " << client);
        CHECK(visits(all_clients[client], context, "localhost") == alone[named][client]);
      }
    }
}

TEST_CASE("a server has other certificates for other names") {
  TlsContext server = server_context();
  server.add_name("*.example.org", TlsContext::server(server_options(certificates().many)));
  TlsOptions strict = server_options(make_identity({"private.example.org", &certificates().authority}));
  strict.client_certificate = ClientCertificate::REQUIRED;
  strict.ca_pem = certificates().authority.certificate;
  server.add_name("Private.Example.org.",
                  TlsContext::server(strict));  // before the pattern, though added after
  server.add_name("example.org", TlsContext::server(server_options(certificates().example)));
  for (const char* name :
       {"localhost", "example.org", "a.example.org", "Example.ORG", "example.org.", "localhost."})
    CHECK(shake_hands(client_context(), server, name).client == "done");
  CHECK_THAT(shake_hands(client_context(), server, "a.b.example.org").client,
             Catch::Matchers::Contains("hostname mismatch"));
  for (const char* name : {"private.example.org", "PRIVATE.example.org."}) {
    CHECK(without_fd(shake_hands(client_context(), server, name).server) ==
          "TLS handshake: peer did not return a certificate");
    CHECK(shake_hands(TlsContext::client(known_client_options()), server, name).client == "done");
  }
}

TEST_CASE(
    "a name is served by its context also when the ClientHello has to be sent again, or comes in pieces") {
  TlsOptions strict = server_options();
  strict.min_version = TlsVersion::TLS_1_3;
  strict.client_certificate = ClientCertificate::REQUIRED;
  strict.ca_pem = certificates().authority.certificate;
  const TlsContext named = TlsContext::server(strict);
  // The client's first key share is for another group.
  REQUIRE(SSL_CTX_set1_groups_list(named.state().context, "P-384") == 1);
  TlsContext server = TlsContext::server(server_options(certificates().example));
  server.add_name("localhost", named);
  for (const std::size_t capacity : std::vector<std::size_t>{1, 7, 200, 65536})
    for (const bool known : {true, false}) {
      const TlsContext client = known ? TlsContext::client(known_client_options()) : client_context();
      run_in_virtual_time([&]() -> Task<void> {
        auto [near_end, far_end] = memory_pair(capacity);
        auto ends = co_await gather(end_of_visit(std::move(near_end), client, "localhost"),
                                    end_of_visit(std::move(far_end), server, ""));
        CHECK(std::get<1>(ends) == (known ? "done" : "TLS handshake: peer did not return a certificate"));
        CHECK((std::get<0>(ends) == "done") == known);
      });
    }
}

TEST_CASE("names that can't be served, or never would be, are refused") {
  TlsContext server = server_context();
  TlsContext named = server_context();
  const auto refused = [&](const std::string& name, const TlsContext& context) {
    return thrown<TlsError>([&] { server.add_name(name, context); });
  };
  for (const char* name :
       {"", ".", ".example.org", "a..b", "*", "*.", "*.*.org", "a.*.org", "*.example..org", ".."})
    CHECK(refused(name, named) == "TLS context: add_name(): \"" + std::string(name) +
                                      "\" is neither a host's name nor \"*.\" and a name");
  CHECK(refused("a.org", named) == "nothing");
  CHECK(refused("A.org.", named) == "TLS context: add_name(): \"A.org.\" was added before");
  CHECK(refused("b.org", server) == "TLS context: add_name(): a context has its own certificates already");
  CHECK_THAT(thrown<TlsError>([&] { named.add_name("c.org", server); }),
             Catch::Matchers::Contains("a context with names of its own has none here"));
  CHECK(refused("d.org", client_context()) == "TLS context: add_name() is for servers");
  CHECK_THROWS_AS(client_context().add_name("x", server), TlsError);
}

TEST_CASE("a name is found as a list of all names says") {
  const std::vector<std::string> labels{"a", "B", "c", "org", "*"};
  std::vector<std::string> names;
  for (const std::string& x : labels)
    for (const char* y : {"a", "b", "org"})
      for (const char* z : {"", ".org", ".a.org"}) names.push_back(x + '.' + y + z);
  for (std::size_t count = 0; count <= names.size(); count += 5) {
    heddle::detail::TlsNames added;
    std::vector<std::pair<std::string, const TlsContext::State*>> list;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string& name = names[(i * 7) % names.size()];
      const TlsContext context = server_context();
      added.add(name, context);
      list.emplace_back(heddle::detail::plain_name(name), &context.state());
    }
    CHECK(added.empty() == list.empty());
    for (const std::string& name : names) {
      if (name.front() == '*') continue;
      const std::string plain = heddle::detail::plain_name(name);
      const TlsContext::State* expected = nullptr;
      for (const auto& [listed, state] : list)
        if (listed == '*' + plain.substr(plain.find('.'))) expected = state;
      for (const auto& [listed, state] : list)
        if (listed == plain) expected = state;
      for (const std::string& form : {name, name + '.', plain}) {
        const std::optional<TlsContext> found = added.find(form);
        CHECK((found ? &found->state() : nullptr) == expected);
      }
    }
  }
}

TEST_CASE("the name in a ClientHello is taken only in its one form") {
  const auto parse = [](std::string bytes) {
    const auto* const data = reinterpret_cast<const unsigned char*>(bytes.data());
    return heddle::detail::parse_server_name({data, bytes.size()}).value_or("malformed");
  };
  using namespace std::string_literals;
  const std::string good = "\0\4\0\0\1x"s;
  CHECK(parse(good) == "x");
  for (std::size_t size = 0; size < good.size(); ++size) CHECK(parse(good.substr(0, size)) == "malformed");
  CHECK(parse(good + 'y') == "malformed");
  for (std::size_t at = 0; at + 1 < good.size(); ++at) {
    std::string bad = good;
    ++bad[at];
    CHECK(parse(bad) == "malformed");
  }
  CHECK(parse("\0\4\0\0\1\0"s) == "malformed");
  CHECK(parse("\0\3\0\0\0"s) == "malformed");
  const std::string longest(255, 'x');
  CHECK(parse("\1\2\0\0\xff"s + longest) == longest);
  CHECK(parse("\1\3\0\1\0"s + longest + 'x') == "malformed");
}

TEST_CASE(
    "a server's name is a host's or an address, a dot at its end changes nothing, and the subject counts "
    "not") {
  for (const char* name : {".", ".localhost", "a..b", "*.example.org", "localhost..", "a*"})
    CHECK(shake_hands(client_context(), server_context(), name).client ==
          "TLS: \"" + std::string(name) + "\" is no name of a server");
  const TlsContext many = TlsContext::server(server_options(certificates().many));
  CHECK_THAT(shake_hands(client_context(), many, ".example.org").client,
             Catch::Matchers::Contains("is no name"));
  run_in_virtual_time([]() -> Task<void> {
    auto pair = co_await tls_memory_pair(client_context(), server_context(), "localhost.");
    CHECK(pair.server.server_name() == "localhost");
    auto number = co_await tls_memory_pair(
        client_context(), TlsContext::server(server_options(certificates().number)), "127.0.0.1");
    CHECK(number.server.server_name().empty());
  });
  const Identity subject_only = make_identity({"localhost", &certificates().authority, -1, 30, false, false});
  CHECK_THAT(shake_hands(client_context(), TlsContext::server(server_options(subject_only))).client,
             Catch::Matchers::Contains("hostname mismatch"));
  const heddle::detail::ServerName zoned("fe80::1%eth0");
  CHECK(zoned.number == "fe80::1");
}
