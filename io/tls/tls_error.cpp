// TlsError, and the errors in OpenSSL's queue.
// SPDX-License-Identifier: MIT
#include <openssl/err.h>

#include <cerrno>
#include <cstring>

#include "tls_state.hpp"

namespace heddle {

TlsError::TlsError(Kind its_kind, const std::string& message, unsigned long its_code)
    : std::runtime_error(message), kind(its_kind), code(its_code) {}
TlsError::TlsError(const TlsError&) noexcept = default;
TlsError::~TlsError() = default;

detail::TlsReason::TlsReason() : code(::ERR_peek_error()), out_of_memory(false) {
  while (const unsigned long each = ::ERR_get_error())
    if (ERR_GET_REASON(each) == (ERR_SYSTEM_ERROR(each) ? ENOMEM : ERR_R_MALLOC_FAILURE))
      out_of_memory = true;
  const char* const reason = code != 0 ? ::ERR_reason_error_string(code) : nullptr;
  if (reason != nullptr)
    text = reason;
  else if (ERR_SYSTEM_ERROR(code))
    text = std::strerror(ERR_GET_REASON(code));
  else
    text = code != 0 ? "error " + std::to_string(code) : "unknown error";
}

}  // namespace heddle
