// lines, frames: what a reader yields, as async generators.
// SPDX-License-Identifier: MIT
#pragma once

#include "../../selector/export.hpp"  // first

#include <string_view>
#include <utility>

#include "../../runtime/task/async_generator.hpp"
#include "frames.hpp"
#include "stream_reader.hpp"

HEDDLE_HEADER_BEGIN

namespace heddle {

/// The lines of a stream, without their ends:
///
///     auto all = lines(reader);
///     while (auto line = co_await all.next()) use(*line);
///
/// A line is valid until the next one is asked for. The reader must outlive it. Throws, out of next(), what
/// read_line() throws; then, and when it was cancelled, this generator has ended, but the reader has lost
/// nothing.
template <ReadStream S>
AsyncGenerator<std::string_view> lines(StreamReader<S>& reader) {
  for (;;) {
    auto line = co_await reader.read_line();
    if (!line) co_return;
    co_yield std::move(*line);
  }
}

/// The same for frames: see read_frame().
template <ReadStream S>
AsyncGenerator<std::string_view> frames(StreamReader<S>& reader, FrameFormat format = {}) {
  for (;;) {
    auto frame = co_await read_frame(reader, format);
    if (!frame) co_return;
    co_yield std::move(*frame);
  }
}

}  // namespace heddle

HEDDLE_HEADER_END
