/* SPDX-License-Identifier: MIT
 *
 * moe_plugin_introspection.h - extension "moe.introspection": what a device can do, what a plan will do
 * and why, and what a call cost. For tools, tests and bug reports; a host needs none of it to run.
 */
#ifndef MOE_PLUGIN_INTROSPECTION_H_
#define MOE_PLUGIN_INTROSPECTION_H_

#include "moe_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MOE_EXTENSION_INTROSPECTION "moe.introspection"

/* Receives text in one or more pieces, not NUL-terminated. */
typedef void(MOE_CALL* moe_write_fn)(void* user, const char* text, uint64_t bytes);

/* What one step (all that runs between two barriers) took on the device. */
typedef struct moe_step_timing {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t call;         /* index of the encoded call within the flush */
  uint32_t dispatches;
  char name[64];         /* "gate_up", "stage_in", ... */
  double milliseconds;   /* device time; host time on the reference */
  double bytes;          /* the plan's estimate of what it reads and writes, under uniform routing */
  double flops;          /* 2 per multiply-add */
} moe_step_timing;

typedef struct moe_statistics {
  uint64_t struct_size;
  const moe_chain* next;
  uint64_t live_objects;       /* of the instance: devices, layers, buffers, contexts, uploads */
  uint64_t allocated_bytes;    /* device memory held through the instance */
  uint64_t pipelines_created;
  uint64_t pipelines_from_cache; /* of these, found in the cache on disk, as far as the driver says */
  double pipeline_milliseconds;
  uint64_t validation_messages; /* since the instance was created */
  uint64_t submits;
  /* What was asked of drivers at most, to be held against the limits in get_caps_text. */
  uint64_t largest_binding_bytes;    /* a storage buffer's range in a descriptor */
  uint64_t largest_allocation_bytes; /* one vkAllocateMemory */
  uint64_t peak_driver_bytes;        /* all of these together, staging included */
} moe_statistics;

typedef struct moe_introspection {
  uint64_t struct_size;
  const moe_chain* next;
  /* [thread-safe] The facts that planning sees, one "name = value" a line: the content of a .caps file. */
  moe_status(MOE_CALL* get_caps_text)(moe_device* device, moe_write_fn write, void* user, moe_error* error);
  /* [thread-safe] The plan of forward for a layer on a device described by such text; needs no GPU. */
  moe_status(MOE_CALL* get_plan_text)(const char* caps_text, const moe_layer_desc* desc, uint64_t tokens,
                                      moe_write_fn write, void* user, moe_error* error);
  /* [context] Time stamps around every step of the calls encoded from now on, up to 1024 a flush. Refused where the
   * device has no clock, and while calls are encoded that are not flushed. */
  moe_status(MOE_CALL* set_profiling)(moe_context* context, uint32_t enabled, moe_error* error);
  /* [context] Steps of the newest flush that wait has seen. *count in: room in out (may be NULL); out: how many. */
  moe_status(MOE_CALL* get_timings)(moe_context* context, moe_step_timing* out, uint32_t* count, moe_error* error);
  /* [thread-safe] */
  moe_status(MOE_CALL* get_statistics)(moe_instance* instance, moe_statistics* out, moe_error* error);
} moe_introspection;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOE_PLUGIN_INTROSPECTION_H_ */
