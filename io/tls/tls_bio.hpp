// TlsBio: by which OpenSSL reads and writes the buffers of a TlsEngine.
// SPDX-License-Identifier: MIT
#pragma once

#include <openssl/bio.h>

#include "tls_engine.hpp"

namespace heddle::detail {

/// The functions of a BIO whose data is its TlsEngine.
struct TlsBio {
  static BIO_METHOD* method();

 private:
  static TlsEngine& engine(BIO* bio) { return *static_cast<TlsEngine*>(::BIO_get_data(bio)); }
  static int read(BIO* bio, char* data, std::size_t size, std::size_t* moved);
  static int write(BIO* bio, const char* data, std::size_t size, std::size_t* moved);
  static long control(BIO* bio, int command, long, void*);
  static bool keep_hello(TlsEngine& self, std::size_t size) noexcept;
};

}  // namespace heddle::detail
