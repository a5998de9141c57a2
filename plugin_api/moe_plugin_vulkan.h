/* SPDX-License-Identifier: MIT
 *
 * moe_plugin_vulkan.h - extension "moe.vulkan_interop": a host that runs on Vulkan lends its device and
 * records layers into its own command buffers, on its own VkBuffers, between its own dispatches.
 *
 *   get_requirements, add_features   before vkCreateDevice: what to enable
 *   import_device                    a moe_device on the host's VkDevice; layers and weights as usual
 *   import_buffer                    (moe_plugin_memory.h) a moe_buffer on the host's VkBuffer
 *   create_recording                 a call bound to buffers and a workspace: all that can fail or allocate
 *   record                           vkCmd* into the host's command buffer, nothing else
 *
 * The library never enables, creates or destroys what is the host's. The host keeps instance, device and queue alive
 * until the moe_device and all that was made from it are destroyed.
 *
 * What record does to a command buffer
 *   Where      Outside a render pass, on a queue family with VK_QUEUE_COMPUTE_BIT. Primary or secondary.
 *   State      Disturbs the compute pipeline, descriptor sets 0 and 1 and the push constants of the compute bind
 *              point. Nothing else.
 *   Entry      Begins with a barrier COMPUTE_SHADER | DRAW_INDIRECT (SHADER_WRITE) -> COMPUTE_SHADER (SHADER_READ |
 *              SHADER_WRITE), so that calls and the host's dispatches chain without a barrier between them. Inputs
 *              written by other stages need the host's barrier to COMPUTE_SHADER / SHADER_READ; outputs that other
 *              stages still read (copies, indirect use) need its barrier from these stages to COMPUTE_SHADER. With
 *              MOE_RECORD_NO_ENTRY_BARRIER all of it is the host's to give.
 *   Exit       Outputs were written in COMPUTE_SHADER by SHADER_WRITE and are not yet visible to anybody. The
 *              workspace was read in COMPUTE_SHADER and DRAW_INDIRECT.
 *   Replay     Nothing is read back: a command buffer may be submitted any number of times, each time with new
 *              contents in its buffers. The entry barrier orders the calls of submissions to one queue after each
 *              other, so SIMULTANEOUS_USE is fine there as far as buffers are used by compute shaders alone. On two
 *              queues, or without the entry barrier, two submissions that use one workspace or one output must not
 *              overlap.
 *   Lifetime   Recording, layer, buffers and workspace must stay until no command buffer that holds them is pending.
 *              destroy_recording does not wait.
 */
#ifndef MOE_PLUGIN_VULKAN_H_
#define MOE_PLUGIN_VULKAN_H_

#include <vulkan/vulkan_core.h>

#include "moe_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MOE_EXTENSION_VULKAN_INTEROP "moe.vulkan_interop"

typedef struct moe_recording moe_recording; /* a call, its plan, buffers and workspace */

/* ---- before vkCreateDevice -------------------------------------------------------------------- */

#define MOE_VULKAN_EXTENSION 0u /* a device extension */
#define MOE_VULKAN_FEATURE 1u   /* a member of a feature struct */

#define MOE_VULKAN_REQUIRED 0u
#define MOE_VULKAN_RECOMMENDED 1u

typedef struct moe_vulkan_requirement {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t kind;      /* MOE_VULKAN_EXTENSION or FEATURE */
  uint32_t level;     /* MOE_VULKAN_REQUIRED or RECOMMENDED */
  uint32_t supported; /* by this physical device; a required one that is not: the device cannot be used */
  uint32_t reserved;
  char name[64];      /* "VK_KHR_push_descriptor", "bufferDeviceAddress" */
  char reason[160];   /* what it is for */
} moe_vulkan_requirement;

/* ---- import ----------------------------------------------------------------------------------- */

typedef struct moe_vulkan_device_desc {
  uint64_t struct_size;
  const moe_chain* next;
  PFN_vkGetInstanceProcAddr get_instance_proc_addr; /* all functions are taken from it, never from a loader */
  VkInstance instance;
  VkPhysicalDevice physical_device;
  VkDevice device;
  VkQueue queue;
  uint32_t queue_family; /* of queue; must compute */
  uint32_t api_version;  /* VkApplicationInfo.apiVersion of the instance: what may be used. At least 1.1 */
  /* What vkCreateDevice was given. Vulkan cannot be asked for it, so what is not named here is not used. The features:
   * that call's VkPhysicalDeviceFeatures2 with its chain (core, Vulkan1xFeatures or single structs), or one made from
   * pEnabledFeatures. Both are read during the call. */
  const char* const* enabled_extensions;
  uint32_t enabled_extension_count;
  uint32_t reserved;
  const VkPhysicalDeviceFeatures2* enabled_features;
  /* Called around every vkQueueSubmit to `queue`, on the submitting thread: both, or neither where the host submits
   * to this queue from no other thread at the same time, and lends it to no second moe_device. Must not call the
   * library; a thread that holds the lock must not either. */
  void* user;
  void(MOE_CALL* lock_queue)(void* user);
  void(MOE_CALL* unlock_queue)(void* user);
  uint64_t memory_budget_bytes; /* as in moe_device_desc */
} moe_vulkan_device_desc;

/* ---- recordings ------------------------------------------------------------------------------- */

#define MOE_STAGE_FORWARD 0u
#define MOE_STAGE_ROUTE 1u
#define MOE_STAGE_PLAN_DISPATCH 2u
#define MOE_STAGE_EXPERTS 3u
#define MOE_STAGE_COMBINE 4u

typedef struct moe_recording_desc {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t stage; /* MOE_STAGE_*: which call of moe_api */
  uint32_t reserved;
  const moe_call_args* args; /* every view in a buffer, none in host memory; tokens 1..2^20 */
  /* At least workspace_bytes of query_recording, at a multiple of 256; a VkBuffer under it needs the usages
   * STORAGE_BUFFER and INDIRECT_BUFFER. Recordings may share one, see Replay. NULL: the recording's own. */
  moe_buffer* workspace;
  uint64_t workspace_offset_bytes;
  uint64_t workspace_bytes;
} moe_recording_desc;

typedef struct moe_recording_info {
  uint64_t struct_size;
  const moe_chain* next;
  uint64_t workspace_bytes;
  uint32_t dispatches;
  uint32_t barriers; /* between dispatches; the entry barrier is not counted */
} moe_recording_info;

#define MOE_RECORD_NO_ENTRY_BARRIER 1u

/* ---- submits ---------------------------------------------------------------------------------- */

typedef struct moe_vulkan_semaphore {
  VkSemaphore semaphore;
  uint64_t value;              /* of a timeline semaphore; ignored for a binary one */
  VkPipelineStageFlags stages; /* waits: what waits. 0: all commands. Signals: ignored */
  uint32_t reserved;
} moe_vulkan_semaphore;

typedef struct moe_vulkan_submit {
  uint64_t struct_size;
  const moe_chain* next;
  const moe_vulkan_semaphore* waits;
  const moe_vulkan_semaphore* signals;
  uint32_t wait_count;
  uint32_t signal_count;
  VkFence fence; /* signalled when the flush is done; VK_NULL_HANDLE: none */
} moe_vulkan_submit;

/* ---- the table -------------------------------------------------------------------------------- */

typedef struct moe_vulkan_interop {
  uint64_t struct_size;
  const moe_chain* next;

  /* [thread-safe] What to enable on a physical device: *count in: room in out (may be NULL); out: how many. */
  moe_status(MOE_CALL* get_requirements)(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance,
                                         VkPhysicalDevice physical_device, uint32_t api_version,
                                         moe_vulkan_requirement* out, uint32_t* count, moe_error* error);
  /* [thread-safe] Sets, in the host's chain, the members that get_requirements lists and the device supports; changes
   * nothing else. Wanted are VkPhysicalDeviceVulkan12Features, or the single structs of timelineSemaphore and
   * bufferDeviceAddress; a required feature that has no struct in the chain is an error that names both. */
  moe_status(MOE_CALL* add_features)(PFN_vkGetInstanceProcAddr get_instance_proc_addr, VkInstance instance,
                                     VkPhysicalDevice physical_device, uint32_t api_version,
                                     VkPhysicalDeviceFeatures2* features, moe_error* error);
  /* [thread-safe] A device like any other: close_device ends it. What is missing is refused, each by name. The
   * instance may be one with MOE_INSTANCE_NO_VULKAN. */
  moe_status(MOE_CALL* import_device)(moe_instance* instance, const moe_vulkan_device_desc* desc, moe_device** out,
                                      moe_error* error);

  /* [device] What a recording will need; compiles nothing. The workspace of desc is not looked at. */
  moe_status(MOE_CALL* query_recording)(moe_layer* layer, const moe_recording_desc* desc, moe_recording_info* out,
                                        moe_error* error);
  /* [device] Checks the call, compiles what is not compiled yet, allocates what recording needs. */
  moe_status(MOE_CALL* create_recording)(moe_layer* layer, const moe_recording_desc* desc, moe_recording** out,
                                         moe_error* error);
  /* Other buffers, or another beta, for the same stage, tokens, types and set of views. Compiles nothing. Command
   * buffers recorded before must not be pending and are invalid where the device has no push descriptors. Like
   * record, not while another thread uses the recording. On failure nothing has changed. */
  moe_status(MOE_CALL* update_recording)(moe_recording* recording, const moe_recording_desc* desc, moe_error* error);
  void(MOE_CALL* destroy_recording)(moe_recording* recording);
  /* [thread-safe] for different command buffers. Calls vkCmd* alone, allocates nothing, does not wait. */
  moe_status(MOE_CALL* record)(moe_recording* recording, VkCommandBuffer commands, uint32_t flags, moe_error* error);

  /* [context] moe_api.flush with semaphores and a fence of the host's. */
  moe_status(MOE_CALL* flush)(moe_context* context, const moe_vulkan_submit* submit, uint64_t* value, moe_error* error);
  /* [thread-safe] The context's timeline semaphore, which reaches the values that flush gives. The host may wait for
   * it; it is the library's and ends with the context. */
  moe_status(MOE_CALL* get_timeline)(moe_context* context, VkSemaphore* out, moe_error* error);
} moe_vulkan_interop;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOE_PLUGIN_VULKAN_H_ */
