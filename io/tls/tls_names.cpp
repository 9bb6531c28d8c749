// TlsNames: how names are compared, and the name in a ClientHello.
// SPDX-License-Identifier: MIT
#include "tls_names.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "../../selector/errors.hpp"

namespace heddle::detail {

std::string plain_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string plain(name);
  for (char& c : plain)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return plain;
}

bool is_host_name(std::string_view name) noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  return !name.empty() && name.front() != '.' && name.back() != '.' &&
         name.find("..") == std::string_view::npos &&
         std::none_of(name.begin(), name.end(), [](char c) { return c == '*' || c == '\0'; });
}

ServerName::ServerName(const std::string& given) : name(given) {
  if (given.empty()) return;
  if (given.find('\0') != std::string::npos) throw ValueError("TLS: a zero byte in the server's name");
  if (name.ends_with('.')) name.pop_back();
  number = name.find(':') != std::string::npos ? name.substr(0, name.find('%')) : name;
  unsigned char bytes[16];
  if (::inet_pton(AF_INET, number.c_str(), bytes) != 1 && ::inet_pton(AF_INET6, number.c_str(), bytes) != 1) {
    number.clear();
    if (!is_host_name(given)) throw ValueError("TLS: \"" + given + "\" is no name of a server");
  }
}

std::optional<std::string> parse_server_name(std::span<const unsigned char> extension) {
  constexpr std::size_t header = 5;  // length of the list; type, length of the name
  constexpr std::size_t longest = 255;
  if (extension.size() <= header || extension.size() > header + longest) return std::nullopt;
  const auto number = [&](std::size_t at) { return std::size_t{extension[at]} << 8 | extension[at + 1]; };
  const std::size_t size = extension.size() - header;
  if (number(0) != size + 3 || extension[2] != 0 || number(3) != size) return std::nullopt;
  const auto bytes = extension.subspan(header);
  std::string name(bytes.begin(), bytes.end());
  if (name.find('\0') != std::string::npos) return std::nullopt;
  return name;
}

bool TlsNames::empty() const {
  const std::lock_guard lock(mutex_);
  return contexts_.empty();
}

void TlsNames::add(const std::string& name, TlsContext context) {
  const std::string_view host = name.starts_with("*.") ? std::string_view(name).substr(2) : name;
  if (!is_host_name(host))
    throw TlsError(TlsError::Kind::CONFIGURATION, "TLS context: add_name(): \"" + name +
                                                      "\" is neither a host's name nor \"*.\" and a name");
  const std::lock_guard lock(mutex_);
  if (!contexts_.try_emplace(plain_name(name), std::move(context)).second)
    throw TlsError(TlsError::Kind::CONFIGURATION,
                   "TLS context: add_name(): \"" + name + "\" was added before");
}

std::optional<TlsContext> TlsNames::find(const std::string& name) const {
  const std::string plain = plain_name(name);
  const std::lock_guard lock(mutex_);
  auto found = contexts_.find(plain);
  if (found == contexts_.end()) {
    const std::size_t dot = plain.find('.');
    if (dot != std::string::npos && dot > 0) found = contexts_.find('*' + plain.substr(dot));
  }
  if (found == contexts_.end()) return std::nullopt;
  return found->second;
}

}  // namespace heddle::detail
