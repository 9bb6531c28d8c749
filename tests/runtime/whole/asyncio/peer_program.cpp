// The text of a program: "seed [ step... ]...", where a step is "( kind number argument... [ step... ]... )".
// SPDX-License-Identifier: MIT
#include <sstream>
#include <stdexcept>

#include "peer_program.hpp"

namespace heddle::test {

namespace {

class Parser {
 public:
  explicit Parser(const std::string& line) : text_(line) {}

  PeerProgram program() {
    PeerProgram program;
    if (!(text_ >> program.seed)) throw std::runtime_error("a program begins with its seed");
    while (next()) {
      expect("[");
      program.tasks.push_back(block());
    }
    return program;
  }

 private:
  bool next() { return static_cast<bool>(text_ >> token_); }
  void expect(const char* token) const {
    if (token_ != token) throw std::runtime_error("a program has " + token_ + " in the place of " + token);
  }

  // After its "[".
  PeerBlock block() {
    PeerBlock steps;
    while (next() && token_ != "]") {
      expect("(");
      PeerStep step;
      if (!(text_ >> step.kind >> step.number)) throw std::runtime_error("a program ends within a step");
      while (next() && token_ != ")") {
        if (token_ == "[")
          step.blocks.push_back(block());
        else
          step.args.push_back(std::stoi(token_));
      }
      expect(")");
      steps.push_back(std::move(step));
    }
    return steps;
  }

  std::istringstream text_;
  std::string token_;
};

}  // namespace

PeerProgram parse_program(const std::string& line) { return Parser(line).program(); }

}  // namespace heddle::test
