# SPDX-License-Identifier: MIT
#
# Toolchain: Windows on x86-64, by MinGW-w64 with its POSIX threads (scripts/setup --cross); the other
# variant has no std::mutex. Programs run under Wine.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_CXX_COMPILER x86_64-w64-mingw32-g++-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)

set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

# Debian keeps the loader without its wrapper out of PATH.
find_program(MOEVK_WINE NAMES wine64 wine PATHS /usr/lib/wine)
if(MOEVK_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${MOEVK_WINE})
endif()
