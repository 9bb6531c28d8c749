// Fetches many URLs at once, and tells how that went; of a bare HOST:PORT, whether somebody listens there.
// Try:
//     fetch http://127.0.0.1:7000/ 127.0.0.1:22 127.0.0.1:23
// SPDX-License-Identifier: MIT
#include <getopt.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <heddle/io/net/tcp.hpp>
#include <heddle/io/stream/stream_reader.hpp>
#ifdef HEDDLE_HAVE_TLS
#include <heddle/io/tls/tls_stream.hpp>
#endif
#include <strings.h>
#include <heddle/runtime/sync/semaphore.hpp>
#include <heddle/runtime/task/gather.hpp>
#include <heddle/runtime/task/run.hpp>
#include <heddle/runtime/task/timeout.hpp>
#include <stdexcept>

using namespace std::chrono_literals;

struct Target {
  explicit Target(std::string_view text);

  std::string name;    // as it was given
  std::string scheme;  // "http", "https"; empty: only connect
  heddle::HostPort server;
  std::string path;
};

Target::Target(std::string_view text) : name(text), path("/") {
  std::string_view rest = text;
  if (const std::size_t colon = rest.find("://"); colon != rest.npos) {
    scheme = rest.substr(0, colon);
    rest.remove_prefix(colon + 3);
  }
  if (scheme.empty()) {
    server = heddle::HostPort::parse(rest);
    return;
  }
#ifndef HEDDLE_HAVE_TLS
  if (scheme == "https") throw std::invalid_argument("\"" + name + "\": this was built without TLS");
#endif
  if (scheme != "http" && scheme != "https")
    throw std::invalid_argument("\"" + name + "\" begins with neither http:// nor https://");
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  server = heddle::HostPort::parse(rest.substr(0, end), scheme == "http" ? 80 : 443);
  rest = rest.substr(end, rest.find('#') - end);
  for (const char letter : rest)
    if (letter <= ' ' || letter == 0x7f) throw std::invalid_argument("\"" + name + "\" has blanks in it");
  if (!rest.empty()) path = rest.front() == '/' ? rest : "/" + std::string(rest);
}

/// What came of a target.
struct Outcome {
  unsigned status = 0;  // 0: nothing was asked for
  std::uint64_t bytes = 0;
  std::string error;
  heddle::Duration time{};
  bool ok() const { return error.empty() && status < 400; }
};

/// Digits and nothing else, of a number that there is.
std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

/// What the line says of the body's length, if that is its field.
std::optional<std::uint64_t> content_length(std::string_view line) {
  constexpr std::string_view name = "Content-Length:";
  if (line.size() < name.size() || ::strncasecmp(line.data(), name.data(), name.size()) != 0)
    return std::nullopt;
  line.remove_prefix(std::min(line.find_first_not_of(" \t", name.size()), line.size()));
  line = line.substr(0, line.find_last_not_of(" \t") + 1);
  const auto value = number(line);
  if (!value) throw std::runtime_error("the answer's Content-Length is no number of bytes");
  return value;
}

/// Without a zone, which means nothing to anybody else (RFC 6874, section 4).
std::string host_field(const heddle::HostPort& server) {
  return to_string(heddle::HostPort(server.host.substr(0, server.host.find('%')), server.port));
}

/// Asks in HTTP/1.0, where what comes is the body itself, and ends with the connection.
template <heddle::Stream S>
heddle::Task<void> ask(S& server, const Target& target, Outcome& outcome) {
  const std::string request = "GET " + target.path + " HTTP/1.0\r\nHost: " + host_field(target.server) +
                              "\r\nUser-Agent: heddle-fetch\r\nAccept: */*\r\n\r\n";
  co_await server.write_all(request);
  heddle::StreamReader reader(server);
  const auto status = co_await reader.read_line();
  if (!status || !status->starts_with("HTTP/1.") || status->size() < 12)
    throw std::runtime_error("the answer is not HTTP");
  const auto code = number(status->substr(9, 3));
  if (!code || *code < 100 || (status->size() > 12 && status->at(12) != ' '))
    throw std::runtime_error("the answer is not HTTP");
  outcome.status = static_cast<unsigned>(*code);
  std::optional<std::uint64_t> length;
  for (;;) {
    const auto line = co_await reader.read_line();
    if (!line) throw std::runtime_error("the answer ends within its head");
    if (line->empty()) break;
    const auto value = content_length(*line);
    if (value && length && *value != *length)
      throw std::runtime_error("the answer has two lengths");  // two readers may take two of them
    if (value) length = value;
  }
  std::array<char, 65536> buffer;
  while (!length || outcome.bytes < *length) {
    const std::uint64_t left = length ? *length - outcome.bytes : buffer.size();
    const auto wanted = std::span(buffer).first(std::min<std::uint64_t>(left, buffer.size()));
    const std::size_t size = co_await reader.read_some(wanted);
    if (size == 0) break;
    outcome.bytes += size;
  }
  if (length && outcome.bytes < *length)
    throw std::runtime_error("the answer ends after " + std::to_string(outcome.bytes) + " of " +
                             std::to_string(*length) + " bytes");
}

struct Settings {
  heddle::Duration limit = 30s;  // for each
  std::size_t jobs = 16;
#ifdef HEDDLE_HAVE_TLS
  std::optional<heddle::TlsContext> tls;  // if a target needs it: making one takes milliseconds
#endif
};

heddle::Task<void> fetch(const Target& target, [[maybe_unused]] const Settings& settings, Outcome& outcome) {
  auto server = co_await heddle::TcpStream::connect(target.server.host, target.server.port);
  if (target.scheme.empty()) co_return;
  if (target.scheme == "http") {
    co_await ask(server, target, outcome);
    co_return;
  }
#ifdef HEDDLE_HAVE_TLS
  auto secure = co_await heddle::start_tls(std::move(server), *settings.tls, target.server.host);
  co_await ask(secure, target, outcome);
#endif
}

heddle::Task<Outcome> try_fetch(const Target& target, const Settings& settings, heddle::Semaphore& places) {
  const auto place = co_await places.scoped();
  const heddle::TimePoint start = heddle::EventLoop::running().time();
  Outcome outcome;
  try {
    co_await heddle::timeout(settings.limit, fetch(target, settings, outcome));
  } catch (const std::exception& error) {
    outcome.error = error.what();
  }
  outcome.time = heddle::EventLoop::running().time() - start;
  const double milliseconds = std::chrono::duration<double, std::milli>(outcome.time).count();
  if (!outcome.error.empty())
    std::printf("%s: %s (%.1f ms)\n", target.name.c_str(), outcome.error.c_str(), milliseconds);
  else if (outcome.status == 0)
    std::printf("%s: open (%.1f ms)\n", target.name.c_str(), milliseconds);
  else
    std::printf("%s: %u, %llu bytes (%.1f ms)\n", target.name.c_str(), outcome.status,
                static_cast<unsigned long long>(outcome.bytes), milliseconds);
  std::fflush(stdout);
  co_return outcome;
}

heddle::Task<bool> fetch_all(const std::vector<Target>& targets, const Settings& settings) {
  heddle::Semaphore places(settings.jobs);
  const heddle::TimePoint start = heddle::EventLoop::running().time();
  std::vector<heddle::Task<Outcome>> tasks;
  for (const Target& target : targets) tasks.push_back(try_fetch(target, settings, places));
  const std::vector<Outcome> outcomes = co_await heddle::gather(std::move(tasks));
  std::uint64_t bytes = 0;
  std::size_t good = 0;
  for (const Outcome& outcome : outcomes) {
    bytes += outcome.bytes;
    good += outcome.ok() ? 1 : 0;
  }
  const std::chrono::duration<double> time = heddle::EventLoop::running().time() - start;
  std::printf("%zu of %zu, %llu bytes, %.3f s\n", good, outcomes.size(),
              static_cast<unsigned long long>(bytes), time.count());
  co_return good == outcomes.size();
}

[[noreturn]] void usage(const char* program, std::FILE* out, int status) {
  std::fprintf(out,
               "usage: %s [--jobs N] [--timeout SECONDS] [--cacert FILE] URL|HOST:PORT...\n"
               "  --jobs     so many at a time (16)\n"
               "  --timeout  for each (30)\n"
               "  --cacert   whom to trust, instead of whom the system does (PEM)\n",
               program);
  std::exit(status);
}

/// A number of the command line, in thousandths.
long thousandths(const char* text) {
  double number = 0;
  const char* const end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, number);
  if (error != std::errc() || rest != end || !(number >= 0.001 && number <= 1e6))
    throw std::invalid_argument("\"" + std::string(text) + "\" is not a number from 0.001 to 1000000");
  return static_cast<long>(number * 1000);
}

int main(int argc, char** argv) try {
  constexpr std::array<option, 5> known{{{"jobs", required_argument, nullptr, 'j'},
                                         {"timeout", required_argument, nullptr, 't'},
                                         {"cacert", required_argument, nullptr, 'c'},
                                         {"help", no_argument, nullptr, 'h'},
                                         {}}};
  Settings settings;
  std::string ca_file;
  for (int letter = 0; (letter = getopt_long(argc, argv, "", known.data(), nullptr)) != -1;) {
    if (letter == 'j')
      settings.jobs = static_cast<std::size_t>(std::max(thousandths(optarg) / 1000, 1L));
    else if (letter == 't')
      settings.limit = std::chrono::milliseconds(thousandths(optarg));
    else if (letter == 'c')
      ca_file = optarg;
    else
      usage(argv[0], letter == 'h' ? stdout : stderr, letter == 'h' ? 0 : 2);
  }
  if (optind == argc) usage(argv[0], stderr, 2);
  std::vector<Target> targets;
  for (int i = optind; i < argc; ++i) targets.emplace_back(argv[i]);
#ifdef HEDDLE_HAVE_TLS
  if (std::ranges::any_of(targets, [](const Target& each) { return each.scheme == "https"; })) {
    heddle::TlsOptions options;
    options.ca_file = ca_file;
    options.alpn = {"http/1.1"};
    settings.tls = heddle::TlsContext::client(options);
  }
#endif
  return heddle::run(fetch_all(targets, settings)) ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "fetch: %s\n", error.what());
  return 2;
}
