// read_frame, write_frame: messages with their length before them.
// SPDX-License-Identifier: MIT
#include "../../../io/stream/frames.hpp"

#include <bit>
#include <limits>
#include <string>
#include <vector>

#include "../../../io/stream/memory_stream.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;

namespace {

template <class Body>
void run_virtual(Body body) {
  LoopOptions options;
  options.virtual_time = true;
  run(body(), options);
}

}  // namespace

TEST_CASE("frames arrive as they were written, in every format and in whatever pieces") {
  std::vector<FrameFormat> formats;
  for (const std::size_t prefix : {1U, 2U, 4U, 8U})
    for (const std::endian order : {std::endian::big, std::endian::little})
      formats.emplace_back(prefix, 100'000, order);
  formats.emplace_back();
  for (const FrameFormat& format : formats)
    run_virtual([&]() -> Task<void> {
      auto [a, b] = memory_pair(13);
      StreamWriter writer(a);
      std::vector<std::string> sent{"", "x", "hello", pattern(255)};
      if (format.prefix > 1) sent.push_back(pattern(60'000));
      for (const std::string& frame : sent) write_frame(writer, frame, format);
      auto closing = spawn(writer.close());
      StreamReader reader(b, 16);
      std::vector<std::string> got;
      for (;;) {
        const auto frame = co_await read_frame(reader, format);
        if (!frame) break;
        got.emplace_back(*frame);
      }
      CHECK((got == sent));
      co_await closing;
    });
}

TEST_CASE("the length of a frame is written in the order of bytes that was asked for") {
  char prefix[8];
  CHECK(frame_prefix(FrameFormat(4), 0x010203, prefix) == 4);
  CHECK(std::string_view(prefix, 4) == std::string_view("\0\1\2\3", 4));
  CHECK(frame_prefix(FrameFormat(2, 1000, std::endian::little), 0x0102, prefix) == 2);
  CHECK(std::string_view(prefix, 2) == "\2\1");
  CHECK(frame_size(FrameFormat(2, 1000, std::endian::little), "\2\1") == 0x0102);
  CHECK_THROWS_AS(FrameFormat(3), ValueError);
}

TEST_CASE(
    "a frame that is too long is refused when it is written, and an error that loses nothing when read") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamWriter writer(a);
    CHECK_THROWS_AS(write_frame(writer, std::string(256, 'x'), FrameFormat(1)), ValueError);
    CHECK_THROWS_AS(write_frame(writer, std::string(11, 'x'), FrameFormat(4, 10)), ValueError);
    CHECK(writer.buffered() == 0);
    write_frame(writer, "12345678901", FrameFormat(4));
    co_await writer.flush();
    StreamReader reader(b);
    const FrameFormat strict(4, 10);
    for (int i = 0; i < 2; ++i) {
      const std::string error = co_await end_of(read_frame(reader, strict));
      CHECK(error == "a frame of 11 bytes: the limit is 10");
    }
    const auto frame = co_await read_frame(reader);
    CHECK(*frame == "12345678901");
    // Eight bytes may say anything.
    co_await a.write_all(std::string(8, '\xff'));
    const std::string error = co_await end_of(read_frame(reader, FrameFormat(8)));
    CHECK_THAT(error, Catch::Matchers::StartsWith("a frame of 18446744073709551615 bytes"));
  });
}

TEST_CASE("a stream that ends within a frame is an error, between frames it is the end") {
  run_virtual([]() -> Task<void> {
    for (const std::string_view text : {std::string_view("\0", 1), std::string_view("\0\0\0\5abc", 7)}) {
      auto [a, b] = memory_pair();
      co_await a.write_all(text);
      a.close();
      StreamReader reader(b);
      const std::string error = co_await end_of(read_frame(reader));
      CHECK_THAT(error, Catch::Matchers::StartsWith("the stream ended after"));
      CHECK(reader.buffered() == text);
    }
  });
}

TEST_CASE("a frame that is cancelled while it arrives is read whole by the next") {
  run_virtual([]() -> Task<void> {
    auto [a, b] = memory_pair();
    StreamReader reader(b);
    StreamWriter writer(a);
    write_frame(writer, "in pieces");
    std::string bytes(13, '\0');
    co_await writer.flush();
    co_await b.read_some(std::span(bytes));
    for (const char byte : bytes) {
      const std::string end = co_await end_of(timeout(1s, read_frame(reader)));
      CHECK_THAT(end, Catch::Matchers::Contains("time"));
      co_await a.write_all(std::string_view(&byte, 1));
    }
    const auto frame = co_await read_frame(reader);
    CHECK(*frame == "in pieces");
  });
}

TEST_CASE("a length that no size can hold is too long, whatever the limit") {
  run_virtual([]() -> Task<void> {
    constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
    for (const std::endian order : {std::endian::big, std::endian::little})
      for (unsigned less = 0; less < 8; ++less) {
        auto [a, b] = memory_pair();
        std::string bytes(8, '\xff');
        bytes[order == std::endian::big ? 7 : 0] = static_cast<char>(0xff - less);
        bytes += "rest";
        co_await a.write_all(bytes);
        StreamReader reader(b);
        bool refused = false;
        try {
          co_await read_frame(reader, FrameFormat(8, most, order));
        } catch (const LimitOverrunError&) {
          refused = true;
        }
        CHECK(refused);
        CHECK(reader.buffered() == bytes);
      }
  });
}
