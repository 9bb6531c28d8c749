// As Redis does these: its answers, and its errors.
// SPDX-License-Identifier: MIT
#include "kv_commands.hpp"

#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

void Reply::number_line(char type, long long value) {
  std::array<char, 24> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  text_.append(1, type).append(digits.data(), end).append("\r\n");
}
void Reply::simple(std::string_view text) { text_.append(1, '+').append(text).append("\r\n"); }
void Reply::error(std::string_view text) {
  text_ += '-';
  // What a client has sent may be quoted in it, and must not end the line.
  for (const char letter : text) text_ += letter == '\r' || letter == '\n' ? ' ' : letter;
  text_ += "\r\n";
}
void Reply::integer(long long value) { number_line(':', value); }
void Reply::string(std::string_view bytes) {
  number_line('$', static_cast<long long>(bytes.size()));
  text_.append(bytes).append("\r\n");
}
void Reply::nil() { text_ += "$-1\r\n"; }
void Reply::array(std::size_t size) { number_line('*', static_cast<long long>(size)); }

namespace {

constexpr const char* wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
constexpr const char* no_integer = "ERR value is not an integer or out of range";

std::optional<std::int64_t> to_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest != text.data() + text.size()) return std::nullopt;
  return value;
}

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

// What the key has, made of `initial` if there is none; nullptr, and an error, if it is of another type.
template <class T, class... A>
T* find_or_make(Store& store, std::string_view key, Reply& reply, const A&... initial) {
  auto place = store.find(key);
  if (place == store.end())
    place = store.emplace(std::string(key), Value(std::in_place_type<T>, initial...)).first;
  T* const value = std::get_if<T>(&place->second);
  if (value == nullptr) reply.error(wrong_type);
  return value;
}

void ping(Store&, Words words, Reply& reply) {
  if (words.size() == 1)
    reply.simple("PONG");
  else
    reply.string(words[1]);
}

void echo(Store&, Words words, Reply& reply) { reply.string(words[1]); }

void get(Store& store, Words words, Reply& reply) {
  const auto place = store.find(words[1]);
  if (place == store.end()) return reply.nil();
  const auto* const text = std::get_if<std::string>(&place->second);
  if (text == nullptr) return reply.error(wrong_type);
  reply.string(*text);
}

void set(Store& store, Words words, Reply& reply) {
  bool if_new = false, if_there = false;
  for (const std::string_view option : words.subspan(3)) {
    if (same(option, "NX"))
      if_new = true;
    else if (same(option, "XX"))
      if_there = true;
    else
      return reply.error("ERR syntax error");
  }
  if (if_new && if_there) return reply.error("ERR syntax error");
  const auto place = store.find(words[1]);
  if (place == store.end() ? if_there : if_new) return reply.nil();
  if (place == store.end())
    store.emplace(words[1], std::string(words[2]));
  else if (auto* const text = std::get_if<std::string>(&place->second))
    text->assign(words[2]);  // into the memory that it has
  else
    place->second = std::string(words[2]);
  reply.simple("OK");
}

void del(Store& store, Words words, Reply& reply) {
  long long count = 0;
  for (const std::string_view key : words.subspan(1)) {
    const auto place = store.find(key);
    if (place == store.end()) continue;
    store.erase(place);
    ++count;
  }
  reply.integer(count);
}

void exists(Store& store, Words words, Reply& reply) {
  reply.integer(std::ranges::count_if(words.subspan(1), [&](auto key) { return store.contains(key); }));
}

void add(Store& store, std::string_view key, std::int64_t amount, Reply& reply) {
  auto* const text = find_or_make<std::string>(store, key, reply, "0");
  if (text == nullptr) return;
  const auto before = to_integer(*text);
  if (!before) return reply.error(no_integer);
  std::int64_t sum = 0;
  if (__builtin_add_overflow(*before, amount, &sum))
    return reply.error("ERR increment or decrement would overflow");
  *text = std::to_string(sum);
  reply.integer(sum);
}
void incr(Store& store, Words words, Reply& reply) { add(store, words[1], 1, reply); }
void decr(Store& store, Words words, Reply& reply) { add(store, words[1], -1, reply); }

template <bool front>
void push(Store& store, Words words, Reply& reply) {
  auto* const list = find_or_make<List>(store, words[1], reply);
  if (list == nullptr) return;
  for (const std::string_view item : words.subspan(2)) {
    if constexpr (front)
      list->emplace_front(item);
    else
      list->emplace_back(item);
  }
  reply.integer(static_cast<long long>(list->size()));
}

template <bool front>
void pop(Store& store, Words words, Reply& reply) {
  const auto place = store.find(words[1]);
  if (place == store.end()) return reply.nil();
  auto* const list = std::get_if<List>(&place->second);
  if (list == nullptr) return reply.error(wrong_type);
  reply.string(front ? list->front() : list->back());
  if (list->size() == 1)
    store.erase(place);  // there are no empty lists
  else if (front)
    list->pop_front();
  else
    list->pop_back();
}

// The list at words[1]; nullptr once that was answered: there is none, or it is something else.
const List* list_of(const Store& store, Words words, Reply& reply, void (*answer_none)(Reply&)) {
  const auto place = store.find(words[1]);
  const auto* const list = place != store.end() ? std::get_if<List>(&place->second) : nullptr;
  if (place == store.end())
    answer_none(reply);
  else if (list == nullptr)
    reply.error(wrong_type);
  return list;
}

void llen(Store& store, Words words, Reply& reply) {
  const List* const list = list_of(store, words, reply, [](Reply& to) { to.integer(0); });
  if (list != nullptr) reply.integer(static_cast<long long>(list->size()));
}

void lrange(Store& store, Words words, Reply& reply) {
  auto first = to_integer(words[2]), last = to_integer(words[3]);
  if (!first || !last) return reply.error(no_integer);
  const List* const list = list_of(store, words, reply, [](Reply& to) { to.array(0); });
  if (list == nullptr) return;
  const auto size = static_cast<std::int64_t>(list->size());
  // From the end where they are negative.
  if (*first < 0) *first = std::max<std::int64_t>(*first + size, 0);
  if (*last < 0) *last += size;
  last = std::min(*last, size - 1);
  if (*first > *last) return reply.array(0);
  reply.array(static_cast<std::size_t>(*last - *first + 1));
  for (auto i = *first; i <= *last; ++i) reply.string((*list)[static_cast<std::size_t>(i)]);
}

void type(Store& store, Words words, Reply& reply) {
  const auto place = store.find(words[1]);
  reply.simple(place == store.end() ? "none" : place->second.index() == 0 ? "string" : "list");
}

void dbsize(Store& store, Words, Reply& reply) { reply.integer(static_cast<long long>(store.size())); }

void flushall(Store& store, Words, Reply& reply) {
  store.clear();
  reply.simple("OK");
}

// What redis-cli and redis-benchmark ask for at first. Nothing is documented here, or kept on a disk.
void command(Store&, Words, Reply& reply) { reply.array(0); }
void config(Store&, Words words, Reply& reply) {
  if (words.size() != 3 || !same(words[1], "GET")) return reply.error("ERR there is nothing to configure");
  const bool is_save = same(words[2], "save");
  if (!is_save && !same(words[2], "appendonly")) return reply.array(0);
  reply.array(2);
  reply.string(is_save ? "save" : "appendonly");
  reply.string(is_save ? "" : "no");
}

struct Command {
  std::string_view name;
  std::size_t least, most;  // words, with the name
  void (*run)(Store&, Words, Reply&);
};

constexpr std::size_t any = 65536;
constexpr std::array<Command, 21> commands{{
    {"GET", 2, 2, get},
    {"SET", 3, any, set},
    {"PING", 1, 2, ping},
    {"INCR", 2, 2, incr},
    {"DECR", 2, 2, decr},
    {"LPUSH", 3, any, push<true>},
    {"RPUSH", 3, any, push<false>},
    {"LPOP", 2, 2, pop<true>},
    {"RPOP", 2, 2, pop<false>},
    {"LRANGE", 4, 4, lrange},
    {"LLEN", 2, 2, llen},
    {"DEL", 2, any, del},
    {"EXISTS", 2, any, exists},
    {"ECHO", 2, 2, echo},
    {"TYPE", 2, 2, type},
    {"DBSIZE", 1, 1, dbsize},
    {"FLUSHALL", 1, 1, flushall},
    {"FLUSHDB", 1, 1, flushall},
    {"COMMAND", 1, any, command},
    {"CONFIG", 2, any, config},
    {"QUIT", 1, any, [](Store&, Words, Reply& reply) { reply.simple("OK"); }},
}};

}  // namespace

bool execute(Store& store, Words words, Reply& reply) {
  // A browser can be made to send HTTP to any port of its own machine: what its body asks for isn't done.
  if (same(words[0], "POST") || same(words[0], "Host:")) return false;
  const auto* const command =
      std::ranges::find_if(commands, [&](const Command& each) { return same(each.name, words[0]); });
  if (command == commands.end()) {
    reply.error("ERR unknown command '" + std::string(words[0].substr(0, 64)) + "'");
    return true;
  }
  if (words.size() < command->least || words.size() > command->most)
    reply.error("ERR wrong number of arguments for '" + std::string(words[0]) + "' command");
  else
    command->run(store, words, reply);
  return command->name != "QUIT";
}
