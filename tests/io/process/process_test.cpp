// Process: programs that are started, talked to, stopped and reaped.
// SPDX-License-Identifier: MIT
#include "../../../io/process/process.hpp"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/denied.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::detail;
using namespace heddle::test;
using TestFile = heddle::test::File;

namespace {

/// The kernel, counting; and where asked for, without pidfds or with failures.
class ChildSystem : public KernelSystem {
 public:
  bool pidfds = true;
  int fail_call = -1;  // which of those below
  int error = 0;
  int calls = 0;
  int transfers = 0;

  int pipe(int* ends) noexcept override {
    const int result = fault();
    return result != 0 ? result : KernelSystem::pipe(ends);
  }
  int pidfd_open(int pid) noexcept override {
    if (!pidfds) return -ENOSYS;
    const int result = fault();
    return result != 0 ? result : KernelSystem::pidfd_open(pid);
  }
  std::ptrdiff_t read(int fd, void* data, std::size_t size) noexcept override {
    ++transfers;
    return KernelSystem::read(fd, data, size);
  }

 private:
  int fault() noexcept { return calls++ == fail_call ? -error : 0; }
};

/// Where children of ours run or wait to be reaped, this is false: ECHILD otherwise.
bool no_children() {
  siginfo_t info;
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

bool soon(auto condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

bool exists(int pid) { return ::kill(pid, 0) == 0; }

Task<std::string> read_once(ReadPipe& pipe) {
  std::string buffer(65536, '\0');
  buffer.resize(co_await pipe.read_some(std::span(buffer)));
  co_return buffer;
}

Task<std::string> output_of(Command command, std::string input = {}) {
  ProcessOutput result = co_await timeout(20s, run_process(std::move(command), std::move(input)));
  if (!result.status.success()) result.output += " (" + to_string(result.status) + ": " + result.error + ")";
  co_return result.output;
}

/// Runs `body` with pidfds and without.
template <class Body>
void both_ways(std::string_view selector, Body body) {
  for (const bool pidfds : {true, false}) {
    INFO((pidfds ? "with" : "without") << " pidfds");
    ChildSystem system;
    system.pidfds = pidfds;
    run_on(selector, body, &system);
    CHECK(soon(no_children));
  }
}

Command sleeper() { return Command("sleep", "1000"); }

}  // namespace

ON_SELECTORS("a program is run, and its output, its errors and its status are there") {
  both_ways(selector, []() -> Task<void> {
    const Command script = Command::shell("echo out; echo err >&2; exit 3");
    const ProcessOutput result = co_await timeout(20s, run_process(script));
    CHECK(result.output == "out\n");
    CHECK(result.error == "err\n");
    CHECK(result.status == ExitStatus{3, 0});
    CHECK_FALSE(result.status.success());
    CHECK(to_string(result.status) == "exited with 3");
    const Command suicide = Command::shell("kill -TERM $$");
    const ProcessOutput ended = co_await timeout(20s, run_process(suicide));
    CHECK(ended.status.signalled());
    CHECK(ended.status.signal == SIGTERM);
    CHECK(ended.status.code == -1);
    CHECK(to_string(ended.status) == "was ended by SIGTERM");
  });
}

ON_SELECTORS("megabytes go through a program and back without a deadlock") {
  run_on(selector, []() -> Task<void> {
    const std::string sent = pattern(3'000'017);
    const Command cat = Command::shell("tee /dev/stderr");
    const ProcessOutput result = co_await timeout(30s, run_process(cat, sent));
    const bool same = result.output == sent && result.error == sent;
    CHECK(same);
    CHECK(result.status.success());
  });
}

ON_SELECTORS("a program that doesn't want its input is no error") {
  run_on(selector, []() -> Task<void> {
    const std::string much(2'000'000, 'x');
    const ProcessOutput result = co_await timeout(20s, run_process(Command("head", "-c", "3"), much));
    CHECK(result.output == "xxx");
    CHECK(result.status.success());
  });
}

ON_SELECTORS("a conversation through pipes, line by line") {
  both_ways(selector, []() -> Task<void> {
    Command command("cat", "-u");
    command.input(Stdio::pipe()).output(Stdio::pipe());
    Process cat = Process::spawn(command);
    CHECK(cat.pid() > 0);
    CHECK_FALSE(cat.error().is_open());
    for (const char* line : {"one\n", "two\n", "three\n"}) {
      co_await cat.input().write_all(line);
      const std::string answer = co_await timeout(5s, read_once(cat.output()));
      CHECK(answer == line);
    }
    CHECK(cat.poll() == std::nullopt);
    cat.input().close();
    const ExitStatus status = co_await timeout(5s, cat.wait());
    CHECK(status.success());
    CHECK(cat.poll() == status);
  });
}

TEST_CASE("arguments, variables and the directory are given as they are") {
  run_here([]() -> Task<void> {
    std::string got = co_await output_of(Command("printf", "[%s]", "a b", "", "*", "$HOME", "\n"));
    CHECK(got == "[a b][][*][$HOME][\n]");
    ::setenv("HEDDLE_TEST_HERE", "inherited", 1);
    Command variables = Command::shell("echo $HEDDLE_TEST_HERE $HEDDLE_TEST_NEW");
    got = co_await output_of(variables.env("HEDDLE_TEST_NEW", "a=b"));
    CHECK(got == "inherited a=b\n");
    got = co_await output_of(variables.env("HEDDLE_TEST_HERE", "replaced").env("HEDDLE_TEST_NEW", "c"));
    CHECK(got == "replaced c\n");
    Command bare("env");
    got = co_await output_of(bare.clear_env().env("ONLY", "this"));
    CHECK(got == "ONLY=this\n");
    ::unsetenv("HEDDLE_TEST_HERE");
    Command there("pwd");
    got = co_await output_of(there.cwd("/usr"));
    CHECK(got == "/usr\n");
    Command words("echo");
    const std::vector<std::string> more{"x", "y"};
    got = co_await output_of(words.arg("w").args(more));
    CHECK(got == "w x y\n");
    CHECK_THROWS_AS(words.env("A=B", "c"), ValueError);
    CHECK_THROWS_AS(words.env("", "c"), ValueError);
  });
}

TEST_CASE("a program that can't be started is an error that names it, and leaves nothing") {
  const int before = open_descriptors(256);
  const auto spawn_error = [](const Command& command) {
    return thrown<std::system_error>([&] { Process::spawn(command); });
  };
  Command missing("heddle-no-such-program");
  missing.output(Stdio::pipe()).input(Stdio::pipe()).error(Stdio::null());
  CHECK(spawn_error(missing) == "spawn \"heddle-no-such-program\": No such file or directory");
  CHECK(spawn_error(Command("/etc/passwd")) == "spawn \"/etc/passwd\": Permission denied");
  Command nowhere("true");
  nowhere.cwd("/no/such/place");
  CHECK(spawn_error(nowhere) == "spawn \"true\" in \"/no/such/place\": No such file or directory");
  Command bad_stream("true");
  bad_stream.output(Stdio::descriptor(987));
  CHECK(spawn_error(bad_stream) == "spawn \"true\" with fd 987: Bad file descriptor");
  CHECK(thrown<ValueError>([] { Process::spawn(Command("echo", std::string("a\0b", 3))); }) ==
        "spawn \"echo\": a zero byte in an argument or variable");
  Command odd("true");
  odd.output(Stdio::same_as_output());
  CHECK_THAT(thrown<ValueError>([&] { Process::spawn(odd); }), Catch::Matchers::EndsWith("go to the output"));
  CHECK_THAT(thrown<std::logic_error>([] { Process().poll(); }), Catch::Matchers::Contains("empty"));
  CHECK(open_descriptors(256) == before);
  CHECK(no_children());
}

ON_SELECTORS("signals reach a program, and stopping it takes no longer than the grace given") {
  both_ways(selector, []() -> Task<void> {
    Process first = Process::spawn(sleeper());
    CHECK(first.terminate());
    ExitStatus status = co_await timeout(5s, first.wait());
    CHECK(status.signal == SIGTERM);
    CHECK_FALSE(first.kill(SIGKILL));

    Process polite = Process::spawn(sleeper());
    status = co_await timeout(5s, polite.stop(60s));
    CHECK(status.signal == SIGTERM);

    Command command = Command::shell("trap '' TERM; echo ready; sleep 1000 & wait");
    command.output(Stdio::pipe()).new_group();
    Process stubborn = Process::spawn(command);
    const std::string ready = co_await timeout(5s, read_once(stubborn.output()));
    CHECK(ready == "ready\n");
    status = co_await timeout(5s, stubborn.stop(20ms));
    CHECK(status.signal == SIGKILL);
    CHECK_THROWS_AS(Process::spawn(sleeper()).kill(12345), std::system_error);
  });
}

ON_SELECTORS("any number of tasks may wait for the end, together and afterwards") {
  both_ways(selector, []() -> Task<void> {
    Process process = Process::spawn(sleeper());
    std::vector<JoinHandle<ExitStatus>> waiting;
    for (int i = 0; i < 3; ++i) waiting.push_back(spawn(process.wait()));
    auto impatient = spawn(end_of(timeout(1ms, process.wait())));
    const std::string ended = co_await impatient;
    CHECK(ended == "timed out");
    waiting[1].cancel();
    co_await turns(2);
    Process moved = std::move(process);
    moved.kill(SIGINT);
    for (const int i : {0, 2}) {
      const ExitStatus status = co_await timeout(5s, waiting[static_cast<std::size_t>(i)]);
      CHECK(status.signal == SIGINT);
    }
    const ExitStatus again = co_await timeout(5s, moved.wait());
    CHECK(again.signal == SIGINT);
  });
}

ON_SELECTORS("a process whose handle goes is killed and reaped, also while it is waited for") {
  both_ways(selector, []() -> Task<void> {
    int pid = -1;
    {
      const Process process = Process::spawn(sleeper());
      pid = process.pid();
      CHECK(exists(pid));
    }
    CHECK(soon([&] { return !exists(pid); }));
    JoinHandle<ExitStatus> waiting;
    {
      const Process process = Process::spawn(sleeper());
      waiting = spawn(process.wait());
      co_await turns(2);
    }
    const ExitStatus status = co_await timeout(5s, waiting);
    CHECK(status.signal == SIGKILL);
  });
}

TEST_CASE("many dropped children leave no zombie, no descriptor and no thread") {
  const int before = open_descriptors(256);
  {
    std::vector<Process> many;
    for (int i = 0; i < 40; ++i) {
      Command command("sleep", i % 2 == 0 ? "1000" : "0");
      command.output(Stdio::pipe());
      many.push_back(Process::spawn(command));
    }
  }
  CHECK(soon(no_children));
  CHECK(soon([&] { return open_descriptors(256) == before; }));
}

TEST_CASE("a process may be left to run on, or be asked to end, when its handle goes") {
  Pair lives = Pair::pipe();
  Command command = Command::shell("trap 'echo asked; exit' TERM; echo started; read line; echo $line");
  command.input(Stdio::pipe()).output(Stdio::descriptor(lives.b.fileno()));
  const auto said = [&](std::string_view text) {
    std::string all;
    return soon([&] { return (all += lives.a.read()) == text; });
  };
  SECTION("left") {
    WritePipe input;
    {
      Process process = Process::spawn(command.on_drop(OnDrop::LEAVE));
      input = std::move(process.input());
      CHECK(said("started\n"));
    }
    CHECK_FALSE(no_children());
    must(static_cast<int>(::write(input.fileno(), "still here\n", 11)));
    CHECK(said("still here\n"));
  }
  SECTION("asked") {
    WritePipe input;
    {
      Process process = Process::spawn(command.on_drop(OnDrop::TERMINATE));
      input = std::move(process.input());
      CHECK(said("started\n"));
    }
    input.close();
    CHECK(said("asked\n"));
  }
  CHECK(soon(no_children));
}

ON_SELECTORS("a cancelled run_process kills its program and waits for its end") {
  both_ways(selector, []() -> Task<void> {
    Command command = Command::shell("echo $$; exec sleep 1000");
    auto running = spawn(run_process(command));
    co_await sleep(20ms);
    running.cancel();
    const std::string end = co_await timeout(5s, end_of(std::move(running)));
    CHECK(end == "cancelled");
    CHECK(no_children());
    const std::string late = co_await end_of(timeout(10ms, run_process(sleeper())));
    CHECK(late == "timed out");
    CHECK(no_children());
  });
}

ON_SELECTORS(
    "a run_process that is cancelled once more while it cleans up still waits for its program's end") {
  both_ways(selector, []() -> Task<void> {
    auto running = spawn(run_process(sleeper()));
    co_await sleep(20ms);
    running.cancel();
    co_await turns(1);
    running.cancel();
    const std::string end = co_await end_of(std::move(running));
    CHECK(end == "cancelled");
    CHECK(no_children());
  });
}

TEST_CASE("a program starts with no signal blocked and SIGPIPE as usual") {
  sigset_t some;
  sigset_t before;
  sigemptyset(&some);
  sigaddset(&some, SIGTERM);
  sigaddset(&some, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &some, &before);
  ::signal(SIGPIPE, SIG_IGN);
  run_here([]() -> Task<void> {
    const std::string got = co_await output_of(Command("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"));
    CHECK(got.find("SigBlk:\t0000000000000000\n") != std::string::npos);
    const std::size_t at = got.find("SigIgn:\t");
    REQUIRE(at != std::string::npos);
    const unsigned long ignored = std::stoul(got.substr(at + 8), nullptr, 16);
    CHECK((ignored & (1UL << (SIGPIPE - 1))) == 0);
  });
  ::signal(SIGPIPE, SIG_DFL);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("a program gets the standard streams and no other descriptor, unless it is told so") {
  const TestFile left_open(::open("/dev/null", O_RDONLY));
  run_here([&]() -> Task<void> {
    Command list("ls", "/proc/self/fd");
    std::string got = co_await output_of(list);
    CHECK(got == "0\n1\n2\n3\n");  // 3 is the directory itself
    got = co_await output_of(list.close_others(false));
    CHECK(got.find(std::to_string(left_open.fileno()) + "\n") != std::string::npos);
  });
}

TEST_CASE("standard streams may be swapped, merged, or lead to descriptors and to nothing") {
  Pair pair = Pair::pipe();
  Pair other = Pair::pipe();
  Command command = Command::shell("echo out; echo err >&2");
  run_here([&]() -> Task<void> {
    command.output(Stdio::descriptor(pair.b.fileno())).error(Stdio::descriptor(other.b.fileno()));
    ProcessOutput result = co_await timeout(5s, run_process(command));
    CHECK(result.output.empty());
    CHECK(pair.a.read() == "out\n");
    CHECK(other.a.read() == "err\n");
    command.error(Stdio::same_as_output());
    result = co_await timeout(5s, run_process(command));
    CHECK(pair.a.read() == "out\nerr\n");
    command.output(Stdio::null()).error(Stdio::pipe());
    result = co_await timeout(5s, run_process(command));
    CHECK(result.error == "err\n");
  });
  CHECK(in_child([&] {
          // Our own 1 and 2 change places in it, and the lowest numbers are free here.
          must(::dup2(pair.b.fileno(), 1));
          must(::dup2(other.b.fileno(), 2));
          Command swapped = Command::shell("echo out; echo err >&2");
          swapped.output(Stdio::descriptor(2)).error(Stdio::descriptor(1));
          run_here([&]() -> Task<void> { co_await Process::spawn(swapped).wait(); });
          const std::string text = pair.a.read() + other.a.read();
          for (const int fd : {0, 1, 2}) ::close(fd);
          Command whole = Command::shell("cat; echo err >&2");
          std::string rest;
          run_here([&]() -> Task<void> {
            const ProcessOutput result = co_await run_process(whole, "in ");
            rest = result.output + result.error;
          });
          return text + rest;
        }) == "err\nout\nin err\n");
}

ON_SELECTORS("signals to a group reach the grandchildren, which would hold the streams open") {
  both_ways(selector, []() -> Task<void> {
    Command command = Command::shell("sleep 1000 & sleep 1000 & echo ready; wait");
    command.new_group().output(Stdio::pipe());
    Process process = Process::spawn(command);
    std::string text = co_await timeout(5s, read_once(process.output()));
    CHECK(text == "ready\n");
    process.kill(SIGKILL);
    text = co_await timeout(5s, read_once(process.output()));
    CHECK(text.empty());
    co_await process.wait();
  });
}

ON_SELECTORS("a group can be signalled after its leader's end, and is when its Process is dropped") {
  both_ways(selector, []() -> Task<void> {
    for (const bool dropped : {false, true}) {
      Command command = Command::shell("sleep 1000 & sleep 1000 & echo ready");
      command.new_group().output(Stdio::pipe());
      Process process = Process::spawn(command);
      std::string text = co_await timeout(5s, read_once(process.output()));
      CHECK(text == "ready\n");
      const ExitStatus status = co_await timeout(5s, process.wait());
      CHECK(status.code == 0);
      CHECK(process.poll().has_value());
      ReadPipe output = std::move(process.output());
      if (!dropped) CHECK(process.kill(SIGKILL));
      if (dropped) process = Process();
      text = co_await timeout(5s, read_once(output));
      CHECK(text.empty());  // nobody has it open any more
    }
    CHECK(no_children());
  });
}

TEST_CASE("input for a program whose input is no pipe is an error") {
  run_here([]() -> Task<void> {
    Command command("cat");
    command.input(Stdio::null());
    const std::string end = co_await end_of(run_process(command, "text"));
    CHECK_THAT(end, Catch::Matchers::Contains("the process's input is no pipe"));
    CHECK(no_children());
  });
}

TEST_CASE("where somebody else reaps our children, waiting for one says so") {
  CHECK(in_child([] {
          ::signal(SIGCHLD, SIG_IGN);
          for (int i = 0; i < 20; ++i) {
            Process process = Process::spawn(Command("true"));
            std::string message;
            run_here([&]() -> Task<void> { co_await error_of(process.wait(), &message); });
            if (message != "wait for process " + std::to_string(process.pid()) + ": No child processes")
              return message;
          }
          return std::string("as it should be");
        }) == "as it should be");
}

ON_SELECTORS("cancelled at every suspension, run_process leaves neither a child nor a descriptor") {
  const std::string bytes = pattern(150'000);
  const auto scenario = [&]() -> Task<void> {
    const ProcessOutput result = co_await run_process(Command("cat"), bytes);
    const bool same = result.output == bytes && result.status.success();
    CHECK(same);
  };
  const auto check = [](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(no_children());
  };
  for (const bool pidfds : {true, false}) {
    ChildSystem system;
    system.pidfds = pidfds;
    DisturbOptions options;
    options.loop.selector = selector;
    options.loop.system = &system;
    options.main_only = true;
    CHECK(cancel_everywhere(scenario, check, options).failed >= 2);
    options.main_only = false;
    CHECK(cancel_everywhere(scenario, check, options).failed >= 2);
  }
}

TEST_CASE("without memory there is no process, or it goes again") {
  if (!allocations_are_observed()) return;
  const auto scenario = []() -> Task<void> { co_await run_process(Command("cat"), "a few bytes"); };
  const auto check = [](const DisturbedRun& run) {
    check_usual_end(run);
    CHECK(no_children());
  };
  CHECK(fail_allocations(scenario, check).failed >= 10);
}

TEST_CASE("whichever pipe or pidfd is refused, no child and no descriptor is left") {
  for (const bool pidfds : {true, false})
    for (const int error : {EMFILE, ENFILE, ENOMEM})
      for (int n = 0;; ++n) {
        ChildSystem system;
        system.pidfds = pidfds;
        system.error = error;
        system.fail_call = n;
        const int before = open_descriptors(256);
        std::string message = "none";
        run_on(
            "default",
            [&]() -> Task<void> {
              message = co_await end_of(run_process(Command("cat"), "hello"));
              system.fail_call = -1;
              co_await output_of(Command("true"));
            },
            &system);
        INFO("call " << n << " failed with " << error << ": " << message);
        CHECK(no_children());
        CHECK(open_descriptors(256) == before);
        if (message == "done") {
          CHECK(n >= 4);
          break;
        }
        CHECK_THAT(message, Catch::Matchers::StartsWith("spawn \"cat\": "));
      }
}

TEST_CASE("in a sandbox that denies pidfd_open, children are waited for by other means") {
  for (const int error : {EPERM, ENOSYS})
    CHECK(where_denied(SYS_pidfd_open, error, [] {
            std::string text;
            run_here([&]() -> Task<void> { text = co_await output_of(Command("echo", "fine")); });
            {
              const Process dropped = Process::spawn(sleeper());
            }
            return text + (soon(no_children) ? "gone" : "left");
          }) == "fine\ngone");
}
