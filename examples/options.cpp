// The example servers' command line, by getopt_long.
// SPDX-License-Identifier: MIT
#include "options.hpp"

#include <getopt.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <heddle/selector/mechanisms/make_selector.hpp>
#include <stdexcept>

namespace {

[[noreturn]] void usage(const char* program, const std::vector<ExtraOption>& extra, std::FILE* out,
                        int status) {
  std::fprintf(out, "usage: %s", program);
  for (const ExtraOption& option : extra) {
    const char* const value = option.value_name != nullptr ? option.value_name : "";
    const char* const space = option.value_name != nullptr ? " " : "";
    std::fprintf(out, option.needed ? " --%s%s%s" : " [--%s%s%s]", option.name, space, value);
  }
  std::fprintf(out, " [--host HOST] [--port PORT] [--selector NAME]\n");
  for (const ExtraOption& option : extra) std::fprintf(out, "  --%-10s%s\n", option.name, option.help);
  std::fprintf(out,
               "  --host      name or number to listen on (127.0.0.1)\n"
               "  --port      0 to 65535, 0 for any that is free (7000)\n"
               "  --selector  default");
  for (const auto& name : heddle::available_selectors())
    std::fprintf(out, " | %s", std::string(name).c_str());
  std::fputc('\n', out);
  std::exit(status);
}

}  // namespace

Options parse_options(int argc, char** argv, const std::vector<ExtraOption>& extra) {
  constexpr int first_extra = 256;
  std::vector<option> known{{"host", required_argument, nullptr, 'h'},
                            {"port", required_argument, nullptr, 'p'},
                            {"selector", required_argument, nullptr, 's'},
                            {"help", no_argument, nullptr, '?'}};
  for (const ExtraOption& each : extra)
    known.push_back({each.name, each.value_name != nullptr ? required_argument : no_argument, nullptr,
                     first_extra + static_cast<int>(known.size()) - 4});
  known.push_back({});
  Options options;
  for (int letter = 0; (letter = getopt_long(argc, argv, "", known.data(), nullptr)) != -1;) {
    if (letter == 'h') {
      options.host = optarg;
    } else if (letter == 'p') {
      const char* const end = optarg + std::strlen(optarg);
      const auto [rest, error] = std::from_chars(optarg, end, options.port);
      if (error != std::errc() || rest != end) {
        std::fprintf(stderr, "%s: \"%s\" is not a port\n", argv[0], optarg);
        usage(argv[0], extra, stderr, 2);
      }
    } else if (letter == 's') {
      options.selector = optarg;
      try {
        static_cast<void>(heddle::make_selector(options.selector));
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
        std::exit(2);
      }
    } else if (letter >= first_extra) {
      *extra[static_cast<std::size_t>(letter - first_extra)].value = optarg != nullptr ? optarg : "yes";
    } else {
      const bool asked = optopt == 0 && std::strcmp(argv[optind - 1], "--help") == 0;
      usage(argv[0], extra, asked ? stdout : stderr, asked ? 0 : 2);
    }
  }
  if (optind < argc) usage(argv[0], extra, stderr, 2);
  for (const ExtraOption& each : extra) {
    if (!each.needed || !each.value->empty()) continue;
    std::fprintf(stderr, "%s: --%s is needed\n", argv[0], each.name);
    usage(argv[0], extra, stderr, 2);
  }
  return options;
}

std::chrono::milliseconds seconds(const char* option, const std::string& text) {
  double count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || rest != end || !(count >= 0 && count <= 1e9))
    throw std::invalid_argument("--" + std::string(option) + " \"" + text +
                                "\" is not a number of seconds from 0 to 1000000000");
  return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(count * 1000));
}
