// What the forms in io/GUIDE.md are written with.
// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <heddle/heddle.hpp>
#include <string>
#include <utility>

using namespace heddle;

inline Task<void> referring(const std::string& text) {
  co_await yield();
  if (text.empty()) throw ValueError("empty");
}
inline Task<void> owning(std::string text) { co_await referring(text); }
struct Session {
  Task<void> run() const { co_await yield(); }
};
inline Task<void> body(int& count) {
  ++count;
  co_await yield();
}
