# SPDX-License-Identifier: MIT
# Finds what moevk is built with: Vulkan headers, volk, VulkanMemoryAllocator, glslang, SPIRV-Tools,
# GoogleTest (MOEVK_BUILD_TESTS), nlohmann/json (tests and tools) and CLI11 (MOEVK_BUILD_TOOLS). Looks in MOEVK_DEPS_DIR, which
# scripts/setup fills where the system's own are too old, then in the system. What is missing ends
# the configure step with one line that names the package.
#
# When cross compiling, programs and headers are the build machine's; the headers, which are the same
# everywhere, are linked into a folder of their own, so that no other header of that machine is seen
# beside them. GoogleTest is then built from the sources that Debian's googletest package holds.
#
# Gives the targets moevk::vulkan_headers, moevk::volk_headers, moevk::vma_headers (include paths
# only: nothing links libvulkan), moevk::json_headers, GTest::gtest, CLI11::CLI11, and the programs
# MOEVK_GLSLANG, MOEVK_SPIRV_VAL, MOEVK_SPIRV_OPT.

set(MOEVK_DEPS_DIR "${CMAKE_CURRENT_LIST_DIR}/../build/deps" CACHE PATH
    "Tools and headers that scripts/setup unpacked beside the system")
cmake_path(ABSOLUTE_PATH MOEVK_DEPS_DIR BASE_DIRECTORY "${CMAKE_SOURCE_DIR}" NORMALIZE
           OUTPUT_VARIABLE _moevk_deps)
set(_moevk_headers "${_moevk_deps}/trixie/usr/include")

function(_moevk_missing what package)
  message(FATAL_ERROR "${what} not found: run scripts/setup, or install ${package} "
                      "(or set CMAKE_PREFIX_PATH)")
endfunction()

# NO_CACHE throughout: a later scripts/setup must win over what an earlier configure found.
# A value given by -D is taken as it is.
set(_moevk_system_headers)
set(_moevk_any_root)
if(CMAKE_CROSSCOMPILING)
  set(_moevk_system_headers PATHS /usr/local/include /usr/include)
  set(_moevk_any_root NO_CMAKE_FIND_ROOT_PATH)
endif()

# Further arguments: what lies beside the header and belongs to it.
function(_moevk_find_header variable header what package)
  find_path(${variable} ${header} PATHS "${_moevk_headers}" NO_DEFAULT_PATH NO_CACHE ${_moevk_any_root})
  find_path(${variable} ${header} HINTS "$ENV{VULKAN_SDK}/include" ${_moevk_system_headers}
            PATH_SUFFIXES volk vma NO_CACHE ${_moevk_any_root})
  if(NOT ${variable})
    _moevk_missing("${what} (${header})" ${package})
  endif()
  if(CMAKE_CROSSCOMPILING)
    set(alone "${CMAKE_BINARY_DIR}/headers/${variable}")
    file(MAKE_DIRECTORY "${alone}")
    string(REGEX REPLACE "/.*" "" first "${header}")
    foreach(name IN LISTS first ARGN)
      if(EXISTS "${${variable}}/${name}")
        file(CREATE_LINK "${${variable}}/${name}" "${alone}/${name}" SYMBOLIC)
      endif()
    endforeach()
    set(${variable} "${alone}")
  endif()
  set(${variable} "${${variable}}" PARENT_SCOPE)
endfunction()

function(_moevk_find_tool variable name what package)
  find_program(${variable} ${name} PATHS "${_moevk_deps}/bin" NO_DEFAULT_PATH NO_CACHE ${_moevk_any_root})
  find_program(${variable} ${name} HINTS "$ENV{VULKAN_SDK}/bin" NO_CACHE ${_moevk_any_root})
  if(NOT ${variable})
    _moevk_missing("${what} (${name})" ${package})
  endif()
  set(${variable} "${${variable}}" PARENT_SCOPE)
endfunction()

_moevk_find_header(MOEVK_VULKAN_INCLUDE_DIR vulkan/vulkan_core.h "Vulkan headers" libvulkan-dev
                   vk_video)
_moevk_find_header(MOEVK_VOLK_INCLUDE_DIR volk.h "volk" libvulkan-volk-dev volk.c)
_moevk_find_header(MOEVK_VMA_INCLUDE_DIR vk_mem_alloc.h "VulkanMemoryAllocator"
                   libvulkan-memory-allocator-dev)
_moevk_find_tool(MOEVK_GLSLANG glslangValidator "glslang" glslang-tools)
_moevk_find_tool(MOEVK_SPIRV_VAL spirv-val "SPIRV-Tools" spirv-tools)
_moevk_find_tool(MOEVK_SPIRV_OPT spirv-opt "SPIRV-Tools" spirv-tools)

# Oldest that know cooperative matrices: headers 1.3.255 (VK_KHR_cooperative_matrix), glslang 13
# (GL_KHR_cooperative_matrix, GL_EXT_integer_dot_product).
set(_moevk_min_headers 1.3.255)
set(_moevk_min_glslang 13.0)

file(STRINGS "${MOEVK_VULKAN_INCLUDE_DIR}/vulkan/vulkan_core.h" _moevk_line
     REGEX "^#define VK_HEADER_VERSION(_COMPLETE)? ")
string(REGEX MATCH "VK_HEADER_VERSION ([0-9]+)" _ "${_moevk_line}")
set(_moevk_patch "${CMAKE_MATCH_1}")
string(REGEX MATCH "VK_MAKE_API_VERSION\\([0-9]+, *([0-9]+), *([0-9]+)" _ "${_moevk_line}")
set(MOEVK_VULKAN_HEADERS_VERSION "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}.${_moevk_patch}")
if(MOEVK_VULKAN_HEADERS_VERSION VERSION_LESS _moevk_min_headers)
  message(FATAL_ERROR "Vulkan headers ${MOEVK_VULKAN_HEADERS_VERSION} "
                      "(${MOEVK_VULKAN_INCLUDE_DIR}) are too old (${_moevk_min_headers} needed): "
                      "run scripts/setup, or install a newer libvulkan-dev")
endif()

execute_process(COMMAND "${MOEVK_GLSLANG}" --version OUTPUT_VARIABLE _moevk_line ERROR_QUIET)
string(REGEX MATCH "Glslang Version: [0-9]+:([0-9]+\\.[0-9]+\\.[0-9]+)" _ "${_moevk_line}")
set(MOEVK_GLSLANG_VERSION "${CMAKE_MATCH_1}")
if(MOEVK_GLSLANG_VERSION VERSION_LESS _moevk_min_glslang)
  message(FATAL_ERROR "glslang \"${MOEVK_GLSLANG_VERSION}\" (${MOEVK_GLSLANG}) is too old or does "
                      "not run (${_moevk_min_glslang} needed): run scripts/setup, or install "
                      "a newer glslang-tools")
endif()

function(_moevk_headers_target name include_dir)
  add_library(moevk::${name} INTERFACE IMPORTED)
  # SYSTEM: our warnings are for our own code.
  target_include_directories(moevk::${name} SYSTEM INTERFACE "${include_dir}")
endfunction()

# Without prototypes a call that bypasses volk, and would need libvulkan, does not compile.
_moevk_headers_target(vulkan_headers "${MOEVK_VULKAN_INCLUDE_DIR}")
target_compile_definitions(moevk::vulkan_headers INTERFACE VK_NO_PROTOTYPES)
_moevk_headers_target(volk_headers "${MOEVK_VOLK_INCLUDE_DIR}")
target_link_libraries(moevk::volk_headers INTERFACE moevk::vulkan_headers)
_moevk_headers_target(vma_headers "${MOEVK_VMA_INCLUDE_DIR}")
target_link_libraries(moevk::vma_headers INTERFACE moevk::vulkan_headers)

if(MOEVK_BUILD_TESTS OR MOEVK_BUILD_TOOLS)  # the library itself never sees it
  _moevk_find_header(MOEVK_JSON_INCLUDE_DIR nlohmann/json.hpp "nlohmann/json" nlohmann-json3-dev)
  _moevk_headers_target(json_headers "${MOEVK_JSON_INCLUDE_DIR}")
endif()
if(MOEVK_BUILD_TESTS AND CMAKE_CROSSCOMPILING)
  find_path(MOEVK_GTEST_SOURCE_DIR src/gtest-all.cc PATHS /usr/src/googletest/googletest NO_CACHE
            ${_moevk_any_root})
  if(NOT MOEVK_GTEST_SOURCE_DIR)
    _moevk_missing("GoogleTest's sources" "googletest, or set MOEVK_BUILD_TESTS=OFF")
  endif()
  find_package(Threads REQUIRED)
  add_library(moevk_gtest STATIC EXCLUDE_FROM_ALL "${MOEVK_GTEST_SOURCE_DIR}/src/gtest-all.cc")
  target_include_directories(moevk_gtest SYSTEM PUBLIC "${MOEVK_GTEST_SOURCE_DIR}/include"
                             PRIVATE "${MOEVK_GTEST_SOURCE_DIR}")
  target_link_libraries(moevk_gtest PUBLIC Threads::Threads)
  add_library(moevk_gtest_main STATIC EXCLUDE_FROM_ALL "${MOEVK_GTEST_SOURCE_DIR}/src/gtest_main.cc")
  target_link_libraries(moevk_gtest_main PUBLIC moevk_gtest)
  add_library(GTest::gtest ALIAS moevk_gtest)
  add_library(GTest::gtest_main ALIAS moevk_gtest_main)
elseif(MOEVK_BUILD_TESTS)
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    _moevk_missing("GoogleTest" "libgtest-dev, or set MOEVK_BUILD_TESTS=OFF")
  endif()
endif()
if(MOEVK_BUILD_TOOLS AND CMAKE_CROSSCOMPILING)
  _moevk_find_header(MOEVK_CLI11_INCLUDE_DIR CLI/CLI.hpp "CLI11" "libcli11-dev, or set MOEVK_BUILD_TOOLS=OFF")
  add_library(CLI11::CLI11 INTERFACE IMPORTED)
  target_include_directories(CLI11::CLI11 SYSTEM INTERFACE "${MOEVK_CLI11_INCLUDE_DIR}")
elseif(MOEVK_BUILD_TOOLS)
  find_package(CLI11 QUIET CONFIG)
  if(NOT CLI11_FOUND)
    _moevk_missing("CLI11" "libcli11-dev, or set MOEVK_BUILD_TOOLS=OFF")
  endif()
endif()

message(STATUS "Vulkan headers ${MOEVK_VULKAN_HEADERS_VERSION} (${MOEVK_VULKAN_INCLUDE_DIR}), "
               "glslang ${MOEVK_GLSLANG_VERSION} (${MOEVK_GLSLANG})")
