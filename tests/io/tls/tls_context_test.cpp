// TlsContext: options that can't work, and what is encrypted with.
// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tls_pair.hpp"

using namespace heddle;
using namespace heddle::test;

TEST_CASE("contexts that can't work say why") {
  const auto server_error = [](const TlsOptions& options) {
    return thrown<TlsError>([&] { TlsContext::server(options); });
  };
  CHECK(server_error({}) ==
        "TLS context: a server needs a certificate (certificate_file or certificate_pem)");
  TlsOptions options = server_options();
  options.key_pem.clear();
  CHECK(server_error(options) == "TLS context: a certificate without its key (key_file or key_pem)");
  options.key_pem = certificates().client.key;
  CHECK_THAT(server_error(options), Catch::Matchers::Contains("key"));
  options.key_pem = "garbage";
  CHECK_THAT(server_error(options), Catch::Matchers::StartsWith("TLS context: key_pem: "));
  options = {};
  options.certificate_file = "/no/such/file";
  options.key_file = "/no/such/file";
  CHECK_THAT(server_error(options),
             Catch::Matchers::StartsWith("TLS context: certificate_file \"/no/such/file\": No such file"));
  options = server_options();
  options.client_certificate = ClientCertificate::REQUIRED;
  CHECK_THAT(server_error(options), Catch::Matchers::Contains("need ca_file or ca_pem"));
  options = client_options();
  options.ca_pem = "no certificate";
  CHECK_THAT(thrown<TlsError>([&] { TlsContext::client(options); }),
             Catch::Matchers::StartsWith("TLS context: ca_pem: "));
  options = client_options();
  options.alpn = {""};
  CHECK_THROWS_AS(TlsContext::client(options), TlsError);
}

TEST_CASE("a list of ciphers that is misspelt is refused, also when something else in it is known") {
  const auto error = [](std::string TlsOptions::* option, const std::string& list) {
    TlsOptions options = client_options();
    options.*option = list;
    return thrown<TlsError>([&] { TlsContext::client(options); });
  };
  const auto is_good = [&](std::string TlsOptions::* option, const std::string& list) {
    return error(option, list) == "nothing";
  };
  constexpr auto old = &TlsOptions::cipher_list;
  constexpr auto suites = &TlsOptions::ciphersuites;
  CHECK(error(old, "NONSENSE") == "TLS context: cipher_list: \"NONSENSE\": no cipher match");
  CHECK(error(old, "ECDHE+AESGCM:ECDHE+AESGMC") ==
        "TLS context: cipher_list: \"ECDHE+AESGMC\": no cipher match");
  CHECK(error(old, "TLS_AES_128_GCM_SHA256") ==
        "TLS context: cipher_list: \"TLS_AES_128_GCM_SHA256\": no cipher match");
  CHECK_THAT(error(old, "HIGH:!ALL"),
             Catch::Matchers::Contains("cipher_list \"HIGH:!ALL\": no cipher match"));
  CHECK_THAT(error(old, "!aNULL"), Catch::Matchers::Contains("no cipher match"));
  CHECK(is_good(old, "ECDHE+AESGCM:!SHA384:!NOTHING:@STRENGTH"));
  CHECK(is_good(old, "ECDHE-ECDSA-AES128-GCM-SHA256, ECDHE-RSA-AES128-GCM-SHA256;HIGH DEFAULT@SECLEVEL=2"));
  for (const char* list : {"NONSENSE", "TLS_AES_128_GCM_SHA256:TLS_AES_182_GCM_SHA256", "ECDHE+AESGCM",
                           "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384", "!ALL"}) {
    INFO(list);
    CHECK_THAT(error(suites, list), Catch::Matchers::StartsWith("TLS context: ciphersuites"));
  }
  CHECK(is_good(suites, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"));
  TlsOptions options = client_options();
  options.min_version = TlsVersion::TLS_1_3;
  options.max_version = TlsVersion::TLS_1_2;
  CHECK(thrown<TlsError>([&] { TlsContext::client(options); }) ==
        "TLS context: min_version is above max_version");
}

TEST_CASE("TLS 1.2 has forward secrecy and authenticated encryption, unless it is told otherwise") {
  const Identity rsa = make_identity({"localhost", &certificates().authority, -1, 30, false, true, true});
  for (const Identity& identity : {rsa, certificates().server}) {
    const bool is_rsa = identity.key == rsa.key;
    TlsOptions server = server_options(identity);
    server.max_version = TlsVersion::TLS_1_2;
    const std::string usual = is_rsa ? "ECDHE-RSA-AES256-GCM-SHA384" : "ECDHE-ECDSA-AES256-GCM-SHA384";
    for (const std::string& list :
         is_rsa ? std::vector<std::string>{"AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA",
                                           "ECDHE-RSA-AES256-SHA384"}
                : std::vector<std::string>{"ECDHE-ECDSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA256"}) {
      INFO(list);
      TlsOptions weak_client = client_options();
      TlsOptions weak_server = server;
      weak_client.cipher_list = weak_server.cipher_list = list;
      weak_client.max_version = TlsVersion::TLS_1_2;
      CHECK(without_fd(shake_hands(TlsContext::client(weak_client), TlsContext::server(server)).server) ==
            "TLS handshake: no shared cipher");
      CHECK(without_fd(shake_hands(client_context(), TlsContext::server(weak_server)).server) ==
            "TLS handshake: no shared cipher");
      run_in_virtual_time([&]() -> Task<void> {
        auto pair =
            co_await tls_memory_pair(TlsContext::client(weak_client), TlsContext::server(weak_server));
        CHECK(pair.client.cipher() == list);
        auto good = co_await tls_memory_pair(client_context(), TlsContext::server(server));
        CHECK(good.client.cipher() == usual);
        CHECK(good.client.version() == "TLSv1.2");
      });
    }
  }
}

TEST_CASE("a context that was moved from says so") {
  TlsContext context = client_context();
  const TlsContext moved = std::move(context);
  CHECK_THROWS_AS(context.is_client(), std::logic_error);
  CHECK_THROWS_AS(context.add_name("x", moved), std::logic_error);
  run_in_virtual_time([&]() -> Task<void> {
    auto [near_end, far_end] = memory_pair();
    const std::string end = co_await end_of(start_tls(std::move(near_end), context, "localhost"));
    CHECK(end == "this TlsContext was moved from");
    char byte[1];
    const std::size_t size = co_await far_end.read_some(std::span<char>(byte));
    CHECK(size == 0);
  });
}
