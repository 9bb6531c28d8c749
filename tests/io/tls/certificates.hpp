// Identity: certificates and keys made on the spot, also such as nobody should accept.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace heddle::test {

/// A certificate and its key, in PEM.
struct Identity {
  std::string certificate;
  std::string key;
};

struct IdentityOptions {
  std::string name = "localhost";    ///< that it is for; also a number
  const Identity* issuer = nullptr;  ///< nullptr: itself
  int from_days = -1;                ///< valid from and to, in days from now
  int to_days = 30;
  bool authority = false;
  bool alternative_name = true;  ///< false: the name is the subject's common name alone
  bool rsa = false;              ///< the key's type; else P-256
};

Identity make_identity(const IdentityOptions& options);

}  // namespace heddle::test
