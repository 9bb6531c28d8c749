// Identities by OpenSSL's own functions.
// SPDX-License-Identifier: MIT
#include "certificates.hpp"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cctype>
#include <memory>
#include <stdexcept>

namespace heddle::test {

namespace {

struct Free {
  void operator()(BIO* bio) const { ::BIO_free(bio); }
  void operator()(X509* certificate) const { ::X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

void must_be(bool good) {
  if (!good) throw std::runtime_error("making a certificate failed");
}

template <class Write>
std::string pem(Write write) {
  const Owned<BIO> bio(::BIO_new(::BIO_s_mem()));
  must_be(write(bio.get()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<std::size_t>(size));
}

Owned<BIO> open(const std::string& text) {
  return Owned<BIO>(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

void extend(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = ::X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  must_be(extension != nullptr && ::X509_add_ext(certificate, extension, -1) == 1);
  ::X509_EXTENSION_free(extension);
}

}  // namespace

Identity make_identity(const IdentityOptions& options) {
  static long serial = 1000;
  const Owned<EVP_PKEY> key(options.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  const Owned<X509> certificate(::X509_new());
  must_be(key && certificate);
  ::X509_set_version(certificate.get(), X509_VERSION_3);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate.get()), ++serial);
  ::X509_gmtime_adj(X509_getm_notBefore(certificate.get()), options.from_days * 86400L);
  ::X509_gmtime_adj(X509_getm_notAfter(certificate.get()), options.to_days * 86400L);
  ::X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* const subject = ::X509_get_subject_name(certificate.get());
  ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(options.name.c_str()), -1, -1, 0);
  Owned<X509> issuer;
  Owned<EVP_PKEY> issuer_key;
  if (options.issuer != nullptr) {
    issuer.reset(::PEM_read_bio_X509(open(options.issuer->certificate).get(), nullptr, nullptr, nullptr));
    issuer_key.reset(::PEM_read_bio_PrivateKey(open(options.issuer->key).get(), nullptr, nullptr, nullptr));
    must_be(issuer && issuer_key);
  }
  X509* const signer = issuer ? issuer.get() : certificate.get();
  ::X509_set_issuer_name(certificate.get(), ::X509_get_subject_name(signer));
  extend(certificate.get(), signer, NID_basic_constraints,
         options.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extend(certificate.get(), signer, NID_subject_key_identifier, "hash");
  if (!options.authority && options.alternative_name) {
    const bool is_number = std::isdigit(static_cast<unsigned char>(options.name.front())) != 0;
    extend(certificate.get(), signer, NID_subject_alt_name, (is_number ? "IP:" : "DNS:") + options.name);
  }
  must_be(::X509_sign(certificate.get(), issuer_key ? issuer_key.get() : key.get(), ::EVP_sha256()) > 0);
  Identity identity;
  identity.certificate = pem([&](BIO* bio) { return ::PEM_write_bio_X509(bio, certificate.get()); });
  identity.key = pem([&](BIO* bio) {
    return ::PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  return identity;
}

}  // namespace heddle::test
