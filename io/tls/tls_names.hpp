// TlsNames: the virtual hosts of a server, a context for each name. Not installed.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tls_context.hpp"

namespace heddle::detail {

/// A host's name as names are compared: in lower case (ASCII alone), without the dot that may end it.
HEDDLE_EXPORT std::string plain_name(std::string_view name);

/// Whether `name` has labels that could be a host's: none of them empty, no "*", no zero byte.
HEDDLE_EXPORT bool is_host_name(std::string_view name) noexcept;

/// The name of a server as its clients give it: of a host, or an IP address. Empty: none.
struct ServerName {
  /// Throws ValueError.
  explicit ServerName(const std::string& given);
  std::string name;    ///< without the dot that may end it
  std::string number;  ///< the address, without the zone of "fe80::1%eth0"; empty: it is a host's name
};

/// The host's name in the extension `server_name` of a ClientHello, as it was sent; nullopt where the
/// extension is malformed (RFC 6066, section 3: one name, of 1 to 255 bytes here, none of them 0).
HEDDLE_EXPORT std::optional<std::string> parse_server_name(std::span<const unsigned char> extension);

/// Names may be added while connections are made, also on other threads.
class HEDDLE_EXPORT TlsNames {
 public:
  bool empty() const;
  /// `name`: of a host, or "*." and a name, for all that have one label more. Throws TlsError (CONFIGURATION)
  /// for what is neither, and for a name that is there.
  void add(const std::string& name, TlsContext context);
  /// The name itself comes before the pattern that it matches.
  std::optional<TlsContext> find(const std::string& name) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, TlsContext> contexts_;  // by plain_name()
};

}  // namespace heddle::detail
