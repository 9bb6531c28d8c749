// File: reading and writing on other threads, and what becomes of a call when its task is cancelled.
// SPDX-License-Identifier: MIT
#include "../../../io/file/file.hpp"

#include <sys/stat.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "../../../io/file/pipe.hpp"
#include "../../../runtime/testing/allocation_faults.hpp"
#include "../../../runtime/testing/testing.hpp"
#include "../../support/turns.hpp"
#include "../loopback.hpp"

using namespace heddle;
using namespace heddle::test;
using DiskFile = heddle::File;

namespace {

/// A folder that is gone afterwards.
class Folder {
 public:
  Folder() {
    if (::mkdtemp(path_) == nullptr) must(-1);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    for (const std::string& name : names_) ::unlink(name.c_str());
    ::rmdir(path_);
  }
  std::string operator/(std::string_view name) {
    names_.push_back(std::string(path_) + '/' + std::string(name));
    return names_.back();
  }

 private:
  char path_[32] = "/tmp/heddle-file-XXXXXX";
  std::vector<std::string> names_;
};

/// The kernel, but calls on files may fail, be short, or wait. Called on several threads.
class FileSystem : public KernelSystem {
 public:
  std::atomic<int> calls{0};
  std::atomic<int> fail_call{-1};
  int error = 0;
  std::size_t most = SIZE_MAX;
  std::atomic<bool> held{false};  // calls wait
  std::atomic<int> waiting{0};

  int open(const char* path, int flags, unsigned mode) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::open(path, flags, mode);
  }
  std::ptrdiff_t read(int fd, void* data, std::size_t size) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::read(fd, data, std::min(size, most));
  }
  std::ptrdiff_t write(int fd, const void* data, std::size_t size) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::write(fd, data, std::min(size, most));
  }
  std::ptrdiff_t pread(int fd, void* data, std::size_t size, std::int64_t offset) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::pread(fd, data, std::min(size, most), offset);
  }
  std::ptrdiff_t pwrite(int fd, const void* data, std::size_t size, std::int64_t offset) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::pwrite(fd, data, std::min(size, most), offset);
  }
  int sync(int fd, bool data_only) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::sync(fd, data_only);
  }
  int ftruncate(int fd, std::int64_t size) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::ftruncate(fd, size);
  }
  std::int64_t file_size(int fd) noexcept override {
    const int result = begin();
    return result != 0 ? result : KernelSystem::file_size(fd);
  }

 private:
  int begin() noexcept {
    ++waiting;
    while (held) ::usleep(500);
    --waiting;
    return calls++ == fail_call ? -error : 0;
  }
};

Task<std::string> text_at(DiskFile& file, std::size_t size, std::uint64_t offset) {
  std::string buffer(size, '\0');
  buffer.resize(co_await file.read_at(std::span(buffer), offset));
  co_return buffer;
}

constexpr FileMode fresh = FileMode::READ | FileMode::WRITE | FileMode::CREATE | FileMode::TRUNCATE;

}  // namespace

ON_SELECTORS("a file is written, read in places, resized, and read whole") {
  Folder folder;
  const std::string path = folder / "a";
  run_on(selector, [&]() -> Task<void> {
    const std::string bytes = pattern(300'007);
    DiskFile file = co_await DiskFile::open(path, fresh);
    std::size_t n = co_await file.write_at(bytes, 0);
    CHECK(n == bytes.size());
    n = co_await file.write_at("here", 100);
    std::string expected = bytes;
    expected.replace(100, 4, "here");
    std::string got = co_await text_at(file, 10, 98);
    CHECK(got == expected.substr(98, 10));
    got = co_await text_at(file, 1000, bytes.size() - 3);
    CHECK(got == expected.substr(bytes.size() - 3));
    got = co_await text_at(file, 10, 10'000'000);
    CHECK(got.empty());
    std::uint64_t size = co_await file.size();
    CHECK(size == bytes.size());
    co_await file.sync();
    co_await file.sync(true);
    got = co_await read_file(path);
    const bool same = got == expected;
    CHECK(same);
    co_await file.resize(200);
    size = co_await file.size();
    CHECK(size == 200);
    co_await file.close();
    co_await file.close();
    CHECK_FALSE(file.is_open());
  });
}

ON_SELECTORS("a file as a stream: from its position on, to its end") {
  Folder folder;
  const std::string path = folder / "stream";
  run_on(selector, [&]() -> Task<void> {
    DiskFile file = co_await DiskFile::open(path, fresh);
    co_await file.write_all("one ");
    const std::size_t n = co_await file.write_some("two ");
    CHECK(n == 4);
    co_await file.write_all("three");
    file.seek(4);
    std::string all;
    std::string buffer(5, '\0');
    while (const std::size_t size = co_await file.read_some(std::span(buffer)))
      all += buffer.substr(0, size) + "|";
    CHECK(all == "two t|hree|");
    DiskFile log = co_await DiskFile::open(path, FileMode::WRITE | FileMode::APPEND);
    co_await log.write_all(" four");
    file.seek(0);
    const std::string text = co_await read_file(path);
    CHECK(text == "one two three four");
  });
}

ON_SELECTORS("many reads of one file at once each get their own place") {
  Folder folder;
  const std::string path = folder / "many";
  run_on(selector, [&]() -> Task<void> {
    const std::string bytes = pattern(64 * 1000);
    co_await write_file(path, bytes);
    DiskFile file = co_await DiskFile::open(path);
    std::vector<Task<std::string>> reads;
    for (std::size_t i = 0; i < 64; ++i) reads.push_back(text_at(file, 1000, i * 1000));
    const std::vector<std::string> parts = co_await gather(std::move(reads));
    std::string all;
    for (const std::string& part : parts) all += part;
    const bool same = all == bytes;
    CHECK(same);
  });
}

TEST_CASE("files are written and read whole, also those that tell no size") {
  Folder folder;
  const std::string path = folder / "whole";
  run_here([&]() -> Task<void> {
    co_await write_file(path, "first");
    co_await write_file(path, "second");
    std::string text = co_await read_file(path);
    CHECK(text == "second");
    co_await write_file(path, " and third", FileMode::CREATE | FileMode::APPEND);
    text = co_await read_file(path);
    CHECK(text == "second and third");
    co_await write_file(path, "");
    text = co_await read_file(path);
    CHECK(text.empty());
    text = co_await read_file("/proc/self/status");
    CHECK_THAT(text, Catch::Matchers::StartsWith("Name:\ttest_io"));
  });
}

TEST_CASE("what can't be opened says which file and why") {
  Folder folder;
  const std::string path = folder / "there";
  const std::string fifo = folder / "fifo";
  must(::mkfifo(fifo.c_str(), 0600));
  run_here([&]() -> Task<void> {
    co_await write_file(path, "x");
    std::string end = co_await end_of(DiskFile::open("/no/such/file"));
    CHECK(end == "open \"/no/such/file\": No such file or directory");
    end = co_await end_of(DiskFile::open(path, FileMode::WRITE | FileMode::CREATE | FileMode::EXCLUSIVE));
    CHECK(end == "open \"" + path + "\": File exists");
    end = co_await end_of(read_file("/tmp"));
    CHECK(end == "read \"/tmp\": Is a directory");
    end = co_await end_of(write_file("/tmp", "x"));
    CHECK(end == "open \"/tmp\": Is a directory");
    end = co_await end_of(write_file("/dev/full", "x"));
    CHECK(end == "write \"/dev/full\": No space left on device");
    end = co_await end_of(DiskFile::open(path, FileMode::READ | FileMode::TRUNCATE));
    CHECK_THAT(end, Catch::Matchers::Contains("this mode needs FileMode::WRITE"));
    end = co_await end_of(DiskFile::open(std::string("a\0b", 3)));
    CHECK(end == "open: a zero byte in the path");
    // Nobody is at its other end, and no thread waits for somebody.
    end = co_await timeout(5s, end_of(write_file(fifo, "x")));
    CHECK(end == "open \"" + fifo + "\": No such device or address");
    DiskFile file = co_await DiskFile::open(path);
    end = co_await end_of(file.write_at("x", 0));
    CHECK(end == "write_at on fd " + std::to_string(file.fileno()) + ": Bad file descriptor");
    end = co_await end_of(file.read_at(std::span<char>(), static_cast<std::uint64_t>(-5)));
    CHECK(end == "done");
    co_await file.close();
    end = co_await end_of(file.size());
    CHECK(end == "size on a closed file: Bad file descriptor");
    CHECK_THROWS_AS(file.seek(0), std::system_error);
  });
}

ON_SELECTORS("a call that has begun ends though its task is cancelled, and one that hasn't isn't made") {
  Folder folder;
  const std::string path = folder / "held";
  FileSystem system;
  run_on(
      selector,
      [&]() -> Task<void> {
        DiskFile file = co_await DiskFile::open(path, fresh);
        system.held = true;
        std::string text = "begun";
        auto first_body = [&]() -> Task<std::string> {
          const std::size_t n = co_await file.write_at(text, 0);
          CHECK(n == 5);
          co_return co_await end_of(sleep(0s));
        };
        auto first = spawn(first_body());
        while (system.waiting == 0) co_await sleep(1ms);
        // More of them than there are threads; those behind have not begun.
        std::vector<JoinHandle<std::string>> others;
        for (int i = 0; i < 100; ++i) others.push_back(spawn(end_of(file.write_at("other", 100))));
        co_await turns(2);
        const int begun = system.waiting;
        CHECK(begun < 50);
        for (auto& other : others) other.cancel();
        first.cancel();
        int stopped = 0;
        co_await turns(2);
        for (auto& other : others) stopped += other.done();
        CHECK(stopped >= 50);
        CHECK_FALSE(first.done());
        system.held = false;
        const std::string end = co_await first;
        CHECK(end == "cancelled");
        int written = 0;
        for (auto& other : others) {
          const std::string how = co_await other;
          written += how == "done";
          CHECK((how == "done" || how == "cancelled"));
        }
        CHECK(written <= 50);
        const std::string got = co_await text_at(file, 5, 0);
        CHECK(got == "begun");
      },
      &system);
}

ON_SELECTORS("a file that is closed while a call is under way stays open for that call") {
  Folder folder;
  const std::string path = folder / "closed";
  FileSystem system;
  const int before = open_descriptors(256);
  run_on(
      selector,
      [&]() -> Task<void> {
        co_await write_file(path, "content");
        DiskFile file = co_await DiskFile::open(path);
        system.held = true;
        auto reading = spawn(text_at(file, 100, 0));
        auto again = spawn(text_at(file, 100, 3));
        while (system.waiting < 2) co_await sleep(1ms);
        co_await file.close();
        // Whatever is opened now can't get the number.
        const Pair others[] = {Pair::pipe(), Pair::pipe()};
        system.held = false;
        std::string got = co_await reading;
        CHECK(got == "content");
        got = co_await again;
        CHECK(got == "tent");
        CHECK(open_descriptors(256) >= before + 4);
      },
      &system);
  CHECK(descriptors_come_down_to(before));
}

ON_SELECTORS("cancelled at every suspension, work on files leaves no descriptor and no half truth") {
  Folder folder;
  const std::string path = folder / "cancelled";
  auto scenario = [&]() -> Task<void> {
    co_await write_file(path, std::string(5'000, 'a'));
    DiskFile file = co_await DiskFile::open(path, FileMode::READ | FileMode::WRITE);
    co_await file.write_at("bbb", 1'000);
    const std::string got = co_await text_at(file, 5, 999);
    CHECK(got == "abbba");
    co_await file.sync();
    co_await file.close();
    const std::string all = co_await read_file(path);
    CHECK(all.size() == 5'000);
  };
  DisturbOptions options;
  options.loop.selector = selector;
  for (const bool from_outside : {false, true}) {
    options.from_outside = from_outside;
    CHECK(cancel_everywhere(scenario, &check_usual_end, options).places >= 5);
  }
  if (selector == "epoll" && allocations_are_observed()) CHECK(fail_allocations(scenario).failed >= 5);
}

TEST_CASE("whichever call on a file fails, the error says so and nothing is left open") {
  Folder folder;
  const std::string path = folder / "faulty";
  for (const int error : {EINTR, EIO, ENOSPC, EMFILE, ENOMEM, EDQUOT})
    for (int n = 0;; ++n) {
      FileSystem system;
      system.error = error;
      system.fail_call = n;
      system.most = 700;
      const int before = open_descriptors(256);
      std::string end;
      auto scenario = [&]() -> Task<void> {
        co_await write_file(path, std::string(2'000, 'a'));
        DiskFile file = co_await DiskFile::open(path, FileMode::READ | FileMode::WRITE);
        co_await file.write_at(std::string(1'500, 'b'), 100);
        const std::string got = co_await text_at(file, 1'600, 50);
        CHECK(got == std::string(50, 'a') + std::string(1'500, 'b') + std::string(50, 'a'));
        co_await file.resize(1'900);
        co_await file.sync();
        const std::uint64_t size = co_await file.size();
        CHECK(size == 1'900);
        const std::string all = co_await read_file(path);
        CHECK(all.size() == 1'900);
      };
      run_on("default", [&]() -> Task<void> { end = co_await end_of(scenario()); }, &system);
      INFO("call " << n << " failed with " << error << ": " << end);
      CHECK(descriptors_come_down_to(before));
      if (system.calls <= n) {
        CHECK(end == "done");
        CHECK(n > 10);
        break;
      }
      if (end != "done") {
        CHECK(error != EINTR);
        CHECK_THAT(end, Catch::Matchers::EndsWith(std::generic_category().message(error)));
      } else {
        CHECK((error == EINTR || n > 0));  // a size that isn't known is only a hint for read_file
      }
    }
}

TEST_CASE("an operation on a file may be awaited again") {
  Folder folder;
  const std::string path = folder / "again";
  run_here([&]() -> Task<void> {
    co_await write_file(path, "0123456789");
    DiskFile file = co_await DiskFile::open(path);
    std::string buffer(4, '\0');
    auto read = file.read_some(std::span(buffer));
    std::string all;
    for (int i = 0; i < 4; ++i) all += buffer.substr(0, co_await read) + "|";
    CHECK(all == "0123|4567|89||");
  });
}
