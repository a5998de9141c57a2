# SPDX-License-Identifier: MIT
#
# The warnings that all of our own code is built with. -Wno-restrict: g++ 12 sees overlaps in "a" + std::string
# that are not there (GCC bug 105651, fixed in 13); retest when Debian 12 is no longer supported.
function(moevk_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wconversion
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
                         $<$<BOOL:${MOEVK_WERROR}>:-Werror>)
endfunction()
