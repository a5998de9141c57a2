/* SPDX-License-Identifier: MIT
 * The least a host does with an installed moevk: compiles its header as C11, prints the ABI version
 * it was compiled for, and finds the one entry point in the library named on the command line.
 */
#include <dlfcn.h>
#include <moevk/moe_plugin.h>
#include <stdio.h>

int main(int argc, char** argv) {
  printf("compiled for ABI minor version %u\n", (unsigned)MOE_ABI_VERSION_MINOR);
  if (argc < 2) return 0;
  void* library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  if (!dlsym(library, "moe_plugin_entry")) {
    fprintf(stderr, "%s has no moe_plugin_entry\n", argv[1]);
    return 1;
  }
  dlclose(library);
  return 0;
}
