# heddle_add_library: one layer of heddle as a target, built and later installed like the others.
# SPDX-License-Identifier: MIT
#
# Users write <heddle/io/net/tcp.hpp> whether they build heddle or have it installed. In the build tree that works
# through symbolic links from <build>/include/heddle to the source folders.
include(GNUInstallDirs)
set(heddle_include_root "${PROJECT_BINARY_DIR}/include")
file(MAKE_DIRECTORY "${heddle_include_root}/heddle")
foreach(entry IN ITEMS selector runtime io heddle.hpp)
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${entry}" "${heddle_include_root}/heddle/${entry}"
       COPY_ON_ERROR SYMBOLIC)
endforeach()

# Our own code is compiled with these; nobody who links to heddle inherits them.
function(heddle_set_warnings target)
  if(NOT PROJECT_IS_TOP_LEVEL AND NOT HEDDLE_WERROR)
    # Whoever adds heddle to a project may have stricter warnings, as errors, for all that it compiles; its own
    # targets check the headers by them.
    if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
      target_compile_options(${target} PRIVATE -w)
    endif()
  elseif(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic)
    if(NOT ARGN STREQUAL "RELAXED")
      target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wshadow -Wconversion>)
    endif()
    if(HEDDLE_WERROR)
      target_compile_options(${target} PRIVATE -Werror)
    endif()
  endif()
endfunction()

# heddle_add_library(<layer> SOURCES <.cpp>... HEADERS <public .hpp>... [LINK <what its users link to as well>...]
#                    [FOLDER <folder>])
# makes heddle_<layer>, with the alias heddle::<layer>, whose headers are <heddle/folder/room/...>; a layer's folder
# has its name. Lists are explicit: a file that is not listed is not built,
# and a header that is not listed is not installed (a test compares the lists with the folders).
# A layer without sources is header-only.
function(heddle_add_library layer)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOLDER" "SOURCES;HEADERS;LINK")
  if(NOT arg_FOLDER)
    set(arg_FOLDER ${layer})
  endif()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "heddle_add_library(${layer}): what is ${arg_UNPARSED_ARGUMENTS}?")
  endif()
  set(target heddle_${layer})
  if(arg_SOURCES)
    set(scope PUBLIC)
    add_library(${target} ${arg_SOURCES} ${arg_HEADERS})
    # Installed, the libraries find each other beside them, wherever the package lies.
    if(APPLE)
      set(beside "@loader_path")
    else()
      set(beside "$ORIGIN")
    endif()
    set_target_properties(${target} PROPERTIES
      INSTALL_RPATH "${beside}"
      CXX_EXTENSIONS OFF
      CXX_VISIBILITY_PRESET hidden
      VISIBILITY_INLINES_HIDDEN ON
      POSITION_INDEPENDENT_CODE ON
      VERSION ${PROJECT_VERSION}
      SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    heddle_set_warnings(${target})
    target_compile_definitions(${target} PRIVATE HEDDLE_BUILDS_ITSELF)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "STATIC_LIBRARY")
      target_compile_definitions(${target} PUBLIC HEDDLE_STATIC)  # selector/export.hpp says why
    endif()
    # A library with heddle in it stays in memory after dlclose(): threads that have used it have yet to end. It calls
    # its own functions, also the standard library's templates for types of heddle.
    if(NOT WIN32 AND NOT APPLE)
      if(type STREQUAL "STATIC_LIBRARY")
        set(in_library "$<IN_LIST:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY$<SEMICOLON>MODULE_LIBRARY>")
        target_link_options(${target} INTERFACE "$<${in_library}:LINKER:-z,nodelete,-Bsymbolic-functions>")
      else()
        target_link_options(${target} PRIVATE LINKER:-z,nodelete)
      endif()
    endif()
    # Position-independent, but nobody replaces single functions of ours: calls within the library may be inlined.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU,Clang>:-fno-semantic-interposition>)
  else()
    set(scope INTERFACE)
    add_library(${target} INTERFACE)
  endif()
  add_library(heddle::${layer} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${layer})
  target_compile_features(${target} ${scope} cxx_std_20)
  target_include_directories(${target} ${scope}
    $<BUILD_INTERFACE:${heddle_include_root}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} ${scope} ${arg_LINK})
  set_property(GLOBAL PROPERTY heddle_${layer}_folder ${arg_FOLDER})
  set_property(GLOBAL PROPERTY heddle_${layer}_headers ${arg_HEADERS})
  set_property(GLOBAL PROPERTY heddle_${layer}_sources ${arg_SOURCES})
endfunction()

# A compile option that <layer> and everything that includes its headers needs on GCC, with pkg-config too.
function(heddle_public_option layer option)
  get_target_property(type heddle_${layer} TYPE)
  set(scope PUBLIC)
  if(type STREQUAL "INTERFACE_LIBRARY")
    set(scope INTERFACE)
  endif()
  target_compile_options(heddle_${layer} ${scope} $<$<COMPILE_LANG_AND_ID:CXX,GNU>:${option}>)
  set_property(GLOBAL APPEND PROPERTY heddle_public_options ${option})
endfunction()

# An optional system library that one .cpp of <layer> uses: found -> linked privately and <define> is set for the
# layer's sources, absent -> one status line. heddle_use_optional(selector uring liburing.h HEDDLE_HAVE_URING)
function(heddle_use_optional layer library header define)
  find_library(heddle_lib_${library} ${library})
  find_path(heddle_include_${library} ${header})
  mark_as_advanced(heddle_lib_${library} heddle_include_${library})
  if(NOT heddle_lib_${library} OR NOT heddle_include_${library})
    message(STATUS "heddle: ${library} not found; building without it")
    return()
  endif()
  target_compile_definitions(heddle_${layer} PRIVATE ${define})
  target_link_libraries(heddle_${layer} PRIVATE ${library})  # by name, so that an installed package can move
  set_property(GLOBAL APPEND PROPERTY heddle_private_libraries ${library})
endfunction()
