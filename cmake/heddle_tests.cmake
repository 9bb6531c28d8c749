# The functions the test folders are written with: heddle_add_unit_tests and heddle_add_driver.
# SPDX-License-Identifier: MIT

# heddle_add_unit_tests(<layer> SOURCES <.cpp>... [LINK <targets>...]) makes the executable test_<layer>, and a CTest
# "<layer>: <name>" of every test case in it, with the label <layer>, and `soak` for those tagged [soak]. Where
# HEDDLE_CASES_PER_TEST is more than 1, so many cases are one CTest, and run in one process: under AddressSanitizer a
# process takes longer to begin than most cases. HEDDLE_TEST_OPTIONS are for the compilation of tests alone: with -O0
# an instrumented build takes a third less time, and the libraries in it are optimised still.
function(heddle_add_unit_tests layer)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  if(NOT arg_SOURCES)
    return()
  endif()
  set(target test_${layer})
  add_executable(${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE heddle_test_main ${arg_LINK})
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  target_precompile_headers(${target} PRIVATE "${PROJECT_SOURCE_DIR}/tests/support/catch.hpp")
  heddle_set_warnings(${target})
  target_compile_options(${target} PRIVATE ${HEDDLE_TEST_OPTIONS})
  # GCC 12 takes the temporaries of std::string in coroutines for too small, where it optimises; what it else
  # concludes there from the flow of control is a warning, not an error.
  target_compile_options(${target} PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds;-Wno-stringop-overflow;-Wno-restrict;-Wno-error=maybe-uninitialized;-Wno-error=uninitialized;-Wno-error=dangling-pointer;-Wno-error=use-after-free;-Wno-error=stringop-overread;-Wno-error=free-nonheap-object>")

  set(list "${CMAKE_CURRENT_BINARY_DIR}/${target}.ctest.cmake")
  add_custom_command(TARGET ${target} POST_BUILD VERBATIM
    COMMAND "${CMAKE_COMMAND}" -D "EXECUTABLE=$<TARGET_FILE:${target}>" -D "OUTPUT=${list}" -D "LABEL=${layer}"
            -D "CATCH_VERSION=${Catch2_VERSION}" -D "CASES=${HEDDLE_CASES_PER_TEST}" -P "${PROJECT_SOURCE_DIR}/cmake/discover_tests.cmake"
    BYPRODUCTS "${list}")
  file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${target}.include.cmake"
    "if(EXISTS [==[${list}]==])\n  include([==[${list}]==])\nelse()\n  add_test(${target}_is_not_built false)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES
    "${CMAKE_CURRENT_BINARY_DIR}/${target}.include.cmake")
endfunction()

# heddle_add_driver(<name> <script.py> [SOAK | LONG] [TIMEOUT <seconds>] [ARGS <argument>...] [LABELS <label>...]) runs a
# Python script, standard library only, as the CTest <name>. It skips by returning 77. The label `soak` is for what
# .ci/run runs once, in release; `long` for what only ./dev soak runs.
function(heddle_add_driver name script)
  cmake_parse_arguments(PARSE_ARGV 2 arg "SOAK;LONG" "TIMEOUT" "ARGS;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  if(arg_SOAK)
    list(APPEND arg_LABELS soak)
  elseif(arg_LONG)
    list(APPEND arg_LABELS long)
  endif()
  add_test(NAME "${name}" COMMAND /usr/bin/python3 -B "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${arg_ARGS})
  set_tests_properties("${name}" PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}"
    ENVIRONMENT "PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/support")
endfunction()
