// DatagramDetails: what the headers of a datagram say, and how it was, or is to be, cut into several.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <cstddef>
#include <cstdint>
#include <span>

#include "../address/address.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// Explicit congestion notification: two bits of the IP header (RFC 3168, section 5).
enum class Ecn : unsigned char {
  NOT_ECT = 0,  ///< the transport doesn't take part
  ECT_1 = 1,
  ECT_0 = 2,
  CE = 3,  ///< congestion experienced, set on the way
};

/// What a DatagramBatch made by with_details() has beside the bytes and the address of a datagram.
/// recv_batch() fills it in, as far as the socket was told to (UdpSocket::set_receive_ecn() and its kin);
/// send_batch() sends the datagram that way. So a batch that is sent back answers from the address that each
/// datagram came to, with its ECN bits.
struct DatagramDetails {
  /// Sent, ecn and dscp stand together in place of the socket's traffic class, unless both are 0.
  Ecn ecn = Ecn::NOT_ECT;
  unsigned char dscp = 0;  ///< differentiated services (RFC 2474): six bits
  /// More than 0 and less than the size of the datagram: these are several, each of so many bytes but for the
  /// last, which may be shorter. The kernel, or the network card, cuts them apart (UDP_SEGMENT), or has put
  /// them together (UDP_GRO).
  std::uint16_t segment_size = 0;
  /// The network interface it came by, and will leave by (if_nametoindex(3)); 0: unknown, as the routes say.
  unsigned interface = 0;
  /// The address it was sent to, and the source it will be sent from; its port is of no meaning, and 0 when
  /// received. None: unknown, the kernel picks one. What came by multicast or broadcast has an address here
  /// that can be no source (EINVAL): clear it before answering. A dual-stack socket has IPv4 as
  /// "::ffff:192.0.2.1", as address() has.
  Address local;
  /// Received: options that the user has set by himself (timestamps, say) have filled the room for these
  /// details, and some may be missing.
  bool incomplete = false;
};

/// The datagrams that one of a batch is made of, in their order: a range of spans, never empty.
class DatagramSegments {
 public:
  class Iterator {
   public:
    using value_type = std::span<std::byte>;
    using difference_type = std::ptrdiff_t;

    Iterator() noexcept = default;
    Iterator(std::span<std::byte> bytes, std::size_t offset, std::size_t step) noexcept
        : bytes_(bytes), offset_(offset), step_(step) {}
    value_type operator*() const noexcept {
      const std::size_t left = bytes_.size() - offset_;
      return bytes_.subspan(offset_, step_ < left ? step_ : left);
    }
    Iterator& operator++() noexcept {
      offset_ += step_;
      return *this;
    }
    Iterator operator++(int) noexcept {
      const Iterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const Iterator& a, const Iterator& b) noexcept { return a.offset_ == b.offset_; }

   private:
    std::span<std::byte> bytes_;
    std::size_t offset_ = 0;
    std::size_t step_ = 0;
  };

  /// `segment_size` as in DatagramDetails.
  DatagramSegments(std::span<std::byte> bytes, std::size_t segment_size) noexcept
      : bytes_(bytes),
        step_(segment_size != 0 ? segment_size
              : bytes.empty()   ? 1
                                : bytes.size()),
        count_(bytes.empty() ? 1 : (bytes.size() + step_ - 1) / step_) {}

  std::size_t size() const noexcept { return count_; }
  Iterator begin() const noexcept { return Iterator(bytes_, 0, step_); }
  Iterator end() const noexcept { return Iterator(bytes_, count_ * step_, step_); }

 private:
  std::span<std::byte> bytes_;
  std::size_t step_;
  std::size_t count_;
};

}  // namespace heddle

HEDDLE_HEADER_END
