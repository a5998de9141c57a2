# SPDX-License-Identifier: MIT
#
# In:  FILE, what `moevk bench --json` wrote, and ROWS, how many rows it must have.
# Out: success if it is JSON with these rows and every key that scripts rely on.
# Why: CMake's JSON reader shares nothing with the writer. cmake -DFILE=... -DROWS=... -P this
cmake_minimum_required(VERSION 3.25)
file(READ "${FILE}" text)
string(JSON length LENGTH "${text}")
if(NOT length EQUAL ROWS)
  message(FATAL_ERROR "${length} rows, not ${ROWS}")
endif()
math(EXPR last "${length} - 1")
foreach(row RANGE ${last})
  foreach(key IN ITEMS shape tokens format median_ms p95_ms gbps gflops floor_bytes floor_flops repeats device driver)
    string(JSON value GET "${text}" ${row} ${key}) # an absent key is a fatal error
  endforeach()
  string(JSON median GET "${text}" ${row} median_ms)
  string(JSON p95 GET "${text}" ${row} p95_ms)
  if(NOT median GREATER 0 OR p95 LESS median)
    message(FATAL_ERROR "row ${row}: median_ms ${median}, p95_ms ${p95}")
  endif()
endforeach()
