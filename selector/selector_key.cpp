// to_string() of SelectorKey, SelectorData and EventMask, and the slow path of SelectorData's type check.
// SPDX-License-Identifier: MIT
#include "selector_key.hpp"

#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>

#include "errors.hpp"

namespace heddle {
namespace {

std::string type_name(const std::type_info* type) {
  if (type == nullptr) return "nothing";
  int status = 0;
  char* readable = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
  std::string name = status == 0 ? readable : type->name();
  std::free(readable);
  return name;
}

std::string hex(std::uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

}  // namespace

std::string to_string(EventMask events) {
  std::string text;
  const auto add = [&text](const std::string& word) { text += (text.empty() ? "" : "|") + word; };
  if (events.contains(EVENT_READ)) add("READ");
  if (events.contains(EVENT_WRITE)) add("WRITE");
  const int rest = events.bits() & ~3;
  if (rest != 0) add(hex(static_cast<unsigned>(rest)));
  return text.empty() ? "0" : text;
}

bool SelectorData::is_called(const std::type_info& asked) const noexcept { return same_type(type_, &asked); }

bool SelectorData::same_type(const std::type_info* a, const std::type_info* b) noexcept {
  return a != nullptr && b != nullptr && *a == *b;
}

void SelectorData::wrong_type(const std::type_info* stored, const std::type_info* asked) {
  throw ValueError("SelectorData holds " + type_name(stored) + ", asked for " + type_name(asked));
}

std::string to_string(const SelectorData& data) {
  if (!data.has_value()) return "none";
  const std::string name = type_name(data.type_);
  const bool pointer = name.find('*') != std::string::npos;
  return (pointer ? hex(data.bits_) : std::to_string(static_cast<std::int64_t>(data.bits_))) + " (" + name +
         ")";
}

std::string to_string(const SelectorKey& key) {
  std::string text = "SelectorKey(";
  if (key.fileobj.address() != nullptr) {
    text += "fileobj=" + hex(reinterpret_cast<std::uintptr_t>(key.fileobj.address())) + ", ";
  }
  text += "fd=" + std::to_string(key.fd) + ", events=" + to_string(key.events);
  if (key.data.has_value()) text += ", data=" + to_string(key.data);
  return text + ")";
}

}  // namespace heddle
