// Handles that refer to no task: what may be asked of them, and what they answer.
// SPDX-License-Identifier: MIT
#include <stdexcept>
#include <utility>

#include "../../../runtime/loop/event_loop.hpp"
#include "../../../runtime/task/join_handle.hpp"
#include "../../../runtime/threads/remote_task.hpp"
#include "../../support/on_selectors.hpp"

using namespace heddle;
using namespace heddle::test;

namespace {

template <class T>
void check_empty(JoinHandle<T>& handle) {
  CHECK_FALSE(static_cast<bool>(handle));
  CHECK(handle.done());
  CHECK_FALSE(handle.cancel());
  CHECK_FALSE(handle.cancelled());
  CHECK(handle.error() == nullptr);
  CHECK(handle.name().empty());
  CHECK_FALSE(static_cast<bool>(handle.task()));
  CHECK_THROWS_AS(handle.result(), std::logic_error);
  CHECK_THROWS_AS(handle.set_name("name"), std::logic_error);
  CHECK_THROWS_AS(std::move(handle).set_name("name"), std::logic_error);
  CHECK_THROWS_AS(handle.state(), std::logic_error);
  CHECK_THROWS_AS(handle.operator co_await(), std::logic_error);
  CHECK_THROWS_AS(RemoteHandle(handle), std::logic_error);
}

Task<int> gives(int value) { co_return value; }

}  // namespace

TEST_CASE("a JoinHandle without a task is done, and what needs one throws") {
  JoinHandle<void> none;
  check_empty(none);
  JoinHandle<int> none_either;
  check_empty(none_either);
  EventLoop loop;
  JoinHandle<int> moved_from = spawn_for(loop, gives(1), std::source_location());
  JoinHandle<int> moved_to = std::move(moved_from);
  check_empty(moved_from);
  loop.run_until_complete(moved_to.state());
  CHECK(moved_to.result() == 1);
}

TEST_CASE("a TaskHandle without a task is done, and what needs one throws") {
  const TaskHandle none;
  CHECK_FALSE(static_cast<bool>(none));
  CHECK(none.id() == 0);
  CHECK(none.name().empty());
  CHECK(none.where().line() == 0);
  CHECK(none.done());
  CHECK_FALSE(none.cancelled());
  CHECK(none.error() == nullptr);
  CHECK(none.trace().empty());
  CHECK_FALSE(none.cancel());
  CHECK(none.cancelling() == 0);
  CHECK(none.uncancel() == 0);
  CHECK(none == TaskHandle());
  CHECK_THROWS_AS(none.state(), std::logic_error);
  CHECK_THROWS_AS(none.set_name("name"), std::logic_error);
}

TEST_CASE("a RemoteHandle and a RemoteJoinHandle without a task are done, and get() throws") {
  const RemoteHandle none;
  CHECK(none.done());
  CHECK_FALSE(none.cancel());
  RemoteJoinHandle<int> remote;
  CHECK(remote.done());
  CHECK_FALSE(remote.cancel());
  CHECK_THROWS_AS(remote.get(), std::logic_error);
  CHECK_THROWS_AS(remote.operator co_await(), std::logic_error);
}
