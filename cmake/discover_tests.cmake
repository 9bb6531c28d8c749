# Run after a test executable is linked: lists its test cases and writes the CTest file that runs each by name, or
# CASES at a time.
# SPDX-License-Identifier: MIT
#
# Catch2's own script is not used, because it lets a name with `;` or a backslash pass without running it, and can't
# tell the tests tagged [soak] from the others.
cmake_minimum_required(VERSION 3.24)

function(list_tests out spec)
  set(flags --list-test-names-only)
  if(CATCH_VERSION VERSION_GREATER_EQUAL 3)
    set(flags --list-tests --verbosity quiet)
  endif()
  execute_process(COMMAND "${EXECUTABLE}" ${flags} ${spec}
                  OUTPUT_VARIABLE text ERROR_VARIABLE trouble RESULT_VARIABLE result)
  if(NOT result MATCHES "^[0-9]+$")  # version 2 returns the number of tests, a crash the name of a signal
    message(FATAL_ERROR "${EXECUTABLE} did not list its tests: ${result}\n${trouble}")
  endif()
  if(text MATCHES "[]\\;[\"]")
    message(FATAL_ERROR "${EXECUTABLE}: a test name holds ; \\ [ ] or \", and would pass without being run:\n${text}")
  endif()
  string(REGEX REPLACE "[\r\n]+" ";" names "${text}")
  list(REMOVE_ITEM names "")
  set(${out} "${names}" PARENT_SCOPE)
endfunction()

list_tests(all "~[!benchmark]")
list_tests(soak "[soak]")
if(NOT all)
  message(FATAL_ERROR "${EXECUTABLE} holds no test")
endif()

set(script "")
# Suites of faults count what the whole process has.
if(CASES GREATER 1 AND NOT LABEL MATCHES "faults")  # the long ones follow one by one
  set(others ${all})
  list(REMOVE_ITEM others ${soak})
  set(all ${soak})
  while(others)
    set(size 0)
    set(spec "")
    list(GET others 0 first)
    while(others AND size LESS CASES)
      list(POP_FRONT others name)
      string(REPLACE "," "\\," name "${name}")
      string(APPEND spec "${name},")
      math(EXPR size "${size} + 1")
    endwhile()
    set(title "${LABEL}: ${size} cases from: ${first}")
    string(APPEND script
      "add_test([==[${title}]==] [==[${EXECUTABLE}]==] [==[${spec}]==] --warn NoTests)\n"
      "set_tests_properties([==[${title}]==] PROPERTIES LABELS [==[${LABEL}]==] TIMEOUT 300)\n")
  endwhile()
endif()
foreach(name IN LISTS all)
  string(REPLACE "," "\\," spec "${name}")
  set(labels "${LABEL}")
  if(name IN_LIST soak)
    string(APPEND labels ";soak")
  endif()
  string(APPEND script
    "add_test([==[${LABEL}: ${name}]==] [==[${EXECUTABLE}]==] [==[${spec}]==] --warn NoTests)\n"
    "set_tests_properties([==[${LABEL}: ${name}]==] PROPERTIES LABELS [==[${labels}]==])\n")
  if(name IN_LIST soak)
    string(APPEND script "set_tests_properties([==[${LABEL}: ${name}]==] PROPERTIES TIMEOUT 300)\n")
  endif()
endforeach()
file(WRITE "${OUTPUT}" "${script}")
