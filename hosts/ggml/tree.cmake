# SPDX-License-Identifier: MIT
#
# In:  MOEVK_GGML_SOURCE_DIR, a tree of ggml, or of llama.cpp, which has one in ggml/.
# Out: ggml_moevk_core that knows that tree's version of ggml, and a compile error where its tables are laid out otherwise.
# Why: ggml ships no header with the tables of a backend; whoever builds ggml has it.
get_filename_component(ggml_tree "${MOEVK_GGML_SOURCE_DIR}" ABSOLUTE BASE_DIR "${CMAKE_SOURCE_DIR}")
if(EXISTS "${ggml_tree}/ggml/src/ggml-backend-impl.h")
  set(ggml_tree "${ggml_tree}/ggml")
elseif(NOT EXISTS "${ggml_tree}/src/ggml-backend-impl.h")
  message(FATAL_ERROR "MOEVK_GGML_SOURCE_DIR: ${MOEVK_GGML_SOURCE_DIR} has no src/ggml-backend-impl.h")
endif()
file(STRINGS "${ggml_tree}/CMakeLists.txt" lines REGEX "^ *set\\(GGML_VERSION_(MAJOR|MINOR|PATCH) +[0-9]+\\)")
set(version "")
foreach(part IN ITEMS MAJOR MINOR PATCH)
  if(NOT "${lines}" MATCHES "GGML_VERSION_${part} +([0-9]+)")
    message(FATAL_ERROR "${ggml_tree}/CMakeLists.txt does not say GGML_VERSION_${part}")
  endif()
  list(APPEND version ${CMAKE_MATCH_1})
endforeach()
list(JOIN version "." version)
message(STATUS "libggml-moevk.so is built for ggml ${version} alone, of ${ggml_tree}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${ggml_tree}/CMakeLists.txt")

add_library(ggml_moevk_tree OBJECT tree_tables.cpp)
target_compile_features(ggml_moevk_tree PRIVATE cxx_std_20)
target_include_directories(ggml_moevk_tree SYSTEM PRIVATE "${ggml_tree}/include" "${ggml_tree}/src")
target_link_libraries(ggml_moevk_tree PRIVATE moe_plugin_api)
set_target_properties(ggml_moevk_tree PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
moevk_warnings(ggml_moevk_tree)
target_compile_definitions(ggml_moevk_core PUBLIC MOEVK_GGML_VERSION="${version}")
target_sources(ggml_moevk_core INTERFACE $<TARGET_OBJECTS:ggml_moevk_tree>)
