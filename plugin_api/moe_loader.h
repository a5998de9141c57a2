/* SPDX-License-Identifier: MIT
 *
 * moe_loader.h - header-only loader for hosts in C: opens the library, agrees on a version, and checks that
 * no required function is missing. moe_plugin.hpp wraps it for C++.
 *
 *   moe_library library;
 *   moe_error error = MOE_INIT(moe_error);
 *   if (moe_library_open(&library, NULL, &error) != MOE_OK) { puts(error.text); ... }
 *   library.api->create_instance(...);
 *   moe_library_close(&library);
 */
#ifndef MOE_LOADER_H_
#define MOE_LOADER_H_

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "moe_plugin.h"

typedef struct moe_library {
  void* handle;
  const moe_api* api;
} moe_library;

#if defined(_WIN32)
#define MOE_LIBRARY_DEFAULT_NAME "moevk.dll"
#elif defined(__ANDROID__)
#define MOE_LIBRARY_DEFAULT_NAME "libmoevk.so"
#elif defined(__APPLE__)
#define MOE_LIBRARY_DEFAULT_NAME "libmoevk.dylib"
#else
#define MOE_LIBRARY_DEFAULT_NAME "libmoevk.so.0"
#endif

/* As in the library, a moe_error too short to be written stays as it is. */
static inline moe_status moe_loader_fail(moe_error* error, moe_status code, const char* argument, const char* what,
                                         const char* detail) {
  if (error != NULL && error->struct_size >= sizeof *error) {
    error->code = code;
    error->vk_result = 0;
    snprintf(error->argument, sizeof error->argument, "%s", argument);
    snprintf(error->text, sizeof error->text, "%s: %s", what, detail != NULL ? detail : "unknown reason");
  }
  return code;
}

/* Every member of moe_api after `build` is a required function pointer. */
static inline moe_status moe_loader_check(const moe_api* api, moe_error* error) {
  const size_t first = offsetof(moe_api, create_instance);
  size_t at;
  if (api->struct_size < sizeof(moe_api)) {
    return moe_loader_fail(error, MOE_ERROR_VERSION, "library", "the library's function table is too short",
                           "it is older than this host's header");
  }
  for (at = first; at + sizeof(void (*)(void)) <= sizeof(moe_api); at += sizeof(void (*)(void))) {
    void (*function)(void) = NULL;
    memcpy((void*)&function, (const char*)api + at, sizeof function);
    if (function == NULL) {
      char which[64];
      snprintf(which, sizeof which, "function at offset %u of moe_api is NULL", (unsigned)at);
      return moe_loader_fail(error, MOE_ERROR_VERSION, "library", "the library is incomplete", which);
    }
  }
  return MOE_OK;
}

static inline void moe_library_close(moe_library* library) {
  if (library->handle != NULL) {
#if defined(_WIN32)
    FreeLibrary((HMODULE)library->handle);
#else
    dlclose(library->handle);
#endif
  }
  library->handle = NULL;
  library->api = NULL;
}

#if defined(_WIN32)
/* UTF-8; what is not, as getenv may give it, is in the system's code page. */
static inline HMODULE moe_loader_load(const char* path) {
  wchar_t wide[1024];
  const int most = (int)(sizeof wide / sizeof *wide);
  if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, most) == 0 &&
      MultiByteToWideChar(CP_ACP, 0, path, -1, wide, most) == 0) {
    return NULL;
  }
  return LoadLibraryW(wide);
}
#endif

/* path, UTF-8. NULL: the file that MOEVK_LIBRARY names, else the default name on the loader's search path.
 * On failure *library is closed and may be ignored. error may be NULL. */
static inline moe_status moe_library_open(moe_library* library, const char* path, moe_error* error) {
  moe_plugin_entry_fn entry = NULL;
  moe_status status;
  library->handle = NULL;
  library->api = NULL;
  if (error != NULL && error->struct_size < sizeof *error) return MOE_ERROR_INVALID_ARGUMENT;
  if (path == NULL) path = getenv("MOEVK_LIBRARY");
  if (path == NULL || path[0] == '\0') path = MOE_LIBRARY_DEFAULT_NAME;
#if defined(_WIN32)
  library->handle = (void*)moe_loader_load(path);
  if (library->handle == NULL) {
    char detail[256];
    snprintf(detail, sizeof detail, "%.200s (Windows error %lu)", path, GetLastError());
    return moe_loader_fail(error, MOE_ERROR_NO_DEVICE, "path", "cannot load the library", detail);
  }
  {
    FARPROC symbol = GetProcAddress((HMODULE)library->handle, MOE_PLUGIN_ENTRY_NAME);
    memcpy((void*)&entry, (void*)&symbol, sizeof entry);
  }
#else
  library->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library->handle == NULL)
    return moe_loader_fail(error, MOE_ERROR_NO_DEVICE, "path", "cannot load the library", dlerror());
  {
    void* symbol = dlsym(library->handle, MOE_PLUGIN_ENTRY_NAME);
    memcpy((void*)&entry, (void*)&symbol, sizeof entry);
  }
#endif
  if (entry == NULL) {
    moe_library_close(library);
    return moe_loader_fail(error, MOE_ERROR_VERSION, "path", path, "has no symbol " MOE_PLUGIN_ENTRY_NAME);
  }
  status = entry(MOE_ABI_VERSION_CURRENT, MOE_ABI_VERSION_CURRENT, &library->api, error);
  if (status == MOE_OK) status = moe_loader_check(library->api, error);
  if (status != MOE_OK) moe_library_close(library);
  return status;
}

#endif /* MOE_LOADER_H_ */
