// TlsBio: what OpenSSL asks for and gives, in the buffers of a TlsEngine.
// SPDX-License-Identifier: MIT
#include "tls_bio.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

namespace heddle::detail {

namespace {

constexpr std::size_t most_hello = 65536;
constexpr std::size_t most_output = 262144;  // a writer stops at 64 KiB and a record

}  // namespace

BIO_METHOD* TlsBio::method() {
  static constinit std::atomic<BIO_METHOD*> known{nullptr};
  if (BIO_METHOD* const found = known.load(std::memory_order_acquire)) return found;
  BIO_METHOD* const made = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "heddle");
  if (made == nullptr) throw std::bad_alloc();
  ::BIO_meth_set_read_ex(made, &read);
  ::BIO_meth_set_write_ex(made, &write);
  ::BIO_meth_set_ctrl(made, &control);
  BIO_METHOD* other = nullptr;  // another thread was faster
  if (known.compare_exchange_strong(other, made)) return made;
  ::BIO_meth_free(made);
  return other;
}

int TlsBio::read(BIO* bio, char* data, std::size_t size, std::size_t* moved) {
  TlsEngine& self = engine(bio);
  BIO_clear_retry_flags(bio);
  *moved = 0;
  if (self.refusal_ != nullptr) return 0;
  if (self.hello_seen_ && self.replayed_ < self.hello_.size()) {
    *moved = std::min(size, self.hello_.size() - self.replayed_);
    std::memcpy(data, self.hello_.data() + self.replayed_, *moved);
    self.replayed_ += *moved;
    return 1;
  }
  *moved = std::min(size, self.input_end_ - self.input_begin_);
  if (self.keeps_hello_ && !self.hello_seen_ && !keep_hello(self, *moved)) return 0;
  if (*moved > 0) std::memcpy(data, self.input_.data() + self.input_begin_, *moved);
  self.input_begin_ += *moved;
  if (*moved == 0 && !self.input_ended_) BIO_set_retry_read(bio);
  return *moved > 0;
}

bool TlsBio::keep_hello(TlsEngine& self, std::size_t size) noexcept {
  if (self.hello_.size() + size > most_hello) {
    self.refusal_ = "the ClientHello is too long";
    return false;
  }
  try {
    self.hello_.append(self.input_.chars().data() + self.input_begin_, size);
  } catch (const std::bad_alloc&) {
    self.out_of_memory_ = true;
    return false;
  }
  return true;
}

int TlsBio::write(BIO* bio, const char* data, std::size_t size, std::size_t* moved) {
  TlsEngine& self = engine(bio);
  BIO_clear_retry_flags(bio);
  *moved = 0;
  if (self.output_size() + size > most_output) {
    self.refusal_ = "the peer doesn't read what it has asked for";
    return 0;
  }
  try {
    self.output_.append(data, size);
  } catch (const std::bad_alloc&) {
    self.out_of_memory_ = true;
    return 0;
  }
  *moved = size;
  return 1;
}

long TlsBio::control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_FLUSH) return 1;
  const TlsEngine& self = engine(bio);
  return command == BIO_CTRL_EOF && self.input_ended_ && self.input_begin_ == self.input_end_;
}

}  // namespace heddle::detail
