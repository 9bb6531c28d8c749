// TlsSessions: OpenSSL's callbacks for sessions and tickets.
// SPDX-License-Identifier: MIT
#include "tls_sessions.hpp"

#include <new>
#include <string_view>

#include "tls_names.hpp"
#include "tls_state.hpp"

namespace heddle::detail {

TlsSessions::~TlsSessions() {
  for (const auto& [name, session] : sessions_) ::SSL_SESSION_free(session);
}

SSL_SESSION* TlsSessions::take(const std::string& name) {
  const std::string plain = plain_name(name);
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(plain);
  if (found == sessions_.end()) return nullptr;
  SSL_SESSION* const session = found->second;
  if (::SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
    sessions_.erase(found);  // a ticket used twice lets an observer link the connections (RFC 8446, C.4)
  else
    ::SSL_SESSION_up_ref(session);
  return session;
}

void TlsSessions::keep(const std::string& name, SSL_SESSION* session) {
  constexpr std::size_t most = 256;
  const std::string plain = plain_name(name);
  const std::lock_guard lock(mutex_);
  SSL_SESSION*& place = sessions_[plain];
  ::SSL_SESSION_free(place);
  place = session;
  if (sessions_.size() <= most) return;
  auto victim = sessions_.begin();
  if (victim->first == plain) ++victim;
  ::SSL_SESSION_free(victim->second);
  sessions_.erase(victim);
}

namespace {

int keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* const state = static_cast<TlsContext::State*>(SSL_CTX_get_app_data(::SSL_get_SSL_CTX(ssl)));
  if (::SSL_SESSION_is_resumable(session) != 1) return 0;
  try {
    state->sessions.keep(TlsEngineAccess::name(ssl), session);
  } catch (const std::bad_alloc&) {
    return 0;
  }
  return 1;  // the session is owned here now
}

// A ticket has in it the name that its client has asked for.
int sign_ticket(SSL* ssl, void*) {
  try {
    const std::string name = plain_name(TlsEngineAccess::asked_name(ssl));
    return ::SSL_SESSION_set1_ticket_appdata(::SSL_get_session(ssl), name.data(), name.size());
  } catch (const std::bad_alloc&) {
    return 0;
  }
}

SSL_TICKET_RETURN check_ticket(SSL* ssl, SSL_SESSION* session, const unsigned char*, std::size_t,
                               SSL_TICKET_STATUS status, void*) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  try {
    void* data = nullptr;
    std::size_t size = 0;
    if (::SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1) return SSL_TICKET_RETURN_IGNORE_RENEW;
    const std::string_view made_for(static_cast<const char*>(data), size);
    if (made_for != plain_name(TlsEngineAccess::asked_name(ssl))) return SSL_TICKET_RETURN_IGNORE_RENEW;
  } catch (const std::bad_alloc&) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

}  // namespace

void use_resumption(TlsContext::State& state) {
  SSL_CTX* const context = state.context;
  if (!state.client) {
    // A server keeps no sessions: they are in the tickets, whose keys no other SSL_CTX has. Sessions of TLS
    // 1.2 that are known by an id are never found again.
    ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    static constexpr unsigned char id[] = "heddle";
    ::SSL_CTX_set_session_id_context(context, id, sizeof id - 1);
    ::SSL_CTX_set_session_ticket_cb(context, &sign_ticket, &check_ticket, nullptr);
  }
  if (!state.resumption) {
    ::SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    ::SSL_CTX_set_num_tickets(context, 0);
    ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  } else if (state.client) {
    ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    ::SSL_CTX_sess_set_new_cb(context, &keep_session);
  }
}

}  // namespace heddle::detail
