# SPDX-License-Identifier: MIT
#
# For code that is compiled more often than it is waited for: tests, and the parsing of command lines. A release build
# optimises it a little, which takes a quarter less time to compile; what it calls is built as ever (docs/decisions.md).
function(moevk_compiles_fast target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()
