# What `cmake --install` puts where: libraries, headers, the CMake package and the files for pkg-config.
# SPDX-License-Identifier: MIT
include(CMakePackageConfigHelpers)

set(libraries heddle_selector heddle_runtime heddle_io heddle_heddle heddle_testing)
if(TARGET heddle_tls)  # its headers are among those of io
  list(APPEND libraries heddle_tls)
endif()
install(TARGETS ${libraries} EXPORT heddle
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")

set(heddle_pc_libraries "")
foreach(layer IN ITEMS selector runtime io testing)
  get_property(headers GLOBAL PROPERTY heddle_${layer}_headers)
  get_property(folder GLOBAL PROPERTY heddle_${layer}_folder)
  foreach(header IN LISTS headers)
    cmake_path(GET header PARENT_PATH room)
    install(FILES "${PROJECT_SOURCE_DIR}/${folder}/${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/heddle/${folder}/${room}")
  endforeach()
  if(layer STREQUAL "testing")
    continue()  # in a package of its own, because it replaces operator new
  endif()
  get_target_property(type heddle_${layer} TYPE)
  if(NOT type STREQUAL "INTERFACE_LIBRARY")
    string(PREPEND heddle_pc_libraries "-lheddle_${layer} ")  # a linker wants users before what they use
  endif()
endforeach()
if(TARGET heddle_tls)
  string(PREPEND heddle_pc_libraries "-lheddle_tls ")
endif()
if(EXISTS "${PROJECT_SOURCE_DIR}/heddle.hpp")
  install(FILES "${PROJECT_SOURCE_DIR}/heddle.hpp" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/heddle")
endif()

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/heddle")
install(EXPORT heddle NAMESPACE heddle:: FILE heddleTargets.cmake DESTINATION "${package_dir}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/heddleConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/heddleConfig.cmake" INSTALL_DESTINATION "${package_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/heddleConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)  # below 1.0 a new minor version may change anything
install(FILES "${PROJECT_BINARY_DIR}/heddleConfig.cmake" "${PROJECT_BINARY_DIR}/heddleConfigVersion.cmake"
        DESTINATION "${package_dir}")

# In a static build what heddle needs privately is on every user's link line; in a shared one it is not.
get_property(heddle_private_libraries GLOBAL PROPERTY heddle_private_libraries)
list(TRANSFORM heddle_private_libraries PREPEND "-l")
list(JOIN heddle_private_libraries " " heddle_pc_private)
if(NOT BUILD_SHARED_LIBS)
  string(APPEND heddle_pc_libraries "${heddle_pc_private} ")
  if(NOT WIN32 AND NOT APPLE)
    string(APPEND heddle_pc_libraries "-Wl,-z,nodelete,-Bsymbolic-functions ")  # as heddle_add_library() says; no matter for a program
  endif()
  set(heddle_pc_private "")
endif()
get_property(heddle_public_options GLOBAL PROPERTY heddle_public_options)
if(NOT BUILD_SHARED_LIBS)
  list(APPEND heddle_public_options -DHEDDLE_STATIC)
endif()
list(JOIN heddle_public_options " " heddle_pc_cflags)
foreach(kind IN ITEMS INCLUDEDIR LIBDIR)
  if(IS_ABSOLUTE "${CMAKE_INSTALL_${kind}}")
    set(heddle_pc_${kind} "${CMAKE_INSTALL_${kind}}")
  else()
    set(heddle_pc_${kind} "\${prefix}/${CMAKE_INSTALL_${kind}}")
  endif()
endforeach()
# Written at install time, because `cmake --install --prefix` may name another prefix than the one configured.
foreach(package IN ITEMS heddle heddle-testing)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/${package}.pc.in" "${PROJECT_BINARY_DIR}/${package}.pc.prefixless" @ONLY)
  install(CODE "
    file(READ \"${PROJECT_BINARY_DIR}/${package}.pc.prefixless\" text)
    file(WRITE \"${PROJECT_BINARY_DIR}/${package}.pc\" \"prefix=\${CMAKE_INSTALL_PREFIX}\\n\${text}\")")
  install(FILES "${PROJECT_BINARY_DIR}/${package}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endforeach()
