// Spawn a child and wait for its end, as often as the first argument says, so many at a time as the second
// does; then say how many microseconds this process had on a core.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <heddle/io/process/process.hpp>
#include <heddle/runtime/task/gather.hpp>
#include <heddle/runtime/task/run.hpp>
#include <vector>

namespace {

heddle::Task<void> run_some(const heddle::Command& command, int& left) {
  while (left > 0) {
    --left;
    const auto child = heddle::Process::spawn(command);
    const heddle::ExitStatus status = co_await child.wait();
    if (!status.success()) std::abort();
  }
}

heddle::Task<void> run_all(int count, int at_a_time) {
  const heddle::Command command("/bin/true");
  std::vector<heddle::Task<void>> tasks;
  for (int i = 0; i < at_a_time; ++i) tasks.push_back(run_some(command, count));
  co_await heddle::gather(std::move(tasks));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    heddle::run(run_all(std::atoi(argv[1]), std::atoi(argv[2])));
    std::printf("%.0f\n", 1e6 * static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
