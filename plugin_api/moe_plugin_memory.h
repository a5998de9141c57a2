/* SPDX-License-Identifier: MIT
 *
 * moe_plugin_memory.h - extension "moe.external_memory": buffers that stand on memory which somebody else
 * allocated (a host's pages, another API's or another process's device memory, a host's VkBuffer), and buffers
 * whose memory may be handed on. An imported buffer is a moe_buffer like any other: for views, workspaces, weights.
 */
#ifndef MOE_PLUGIN_MEMORY_H_
#define MOE_PLUGIN_MEMORY_H_

#include "moe_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MOE_EXTENSION_EXTERNAL_MEMORY "moe.external_memory"

/* What a moe_memory_desc holds: the tag of its union. */
#define MOE_MEMORY_HOST_POINTER 0u /* from.host */
#define MOE_MEMORY_OPAQUE_FD 1u    /* from.handle: a file descriptor of Vulkan's (or CUDA's) opaque kind */
#define MOE_MEMORY_DMA_BUF 2u      /* from.handle: a Linux dma-buf file descriptor */
#define MOE_MEMORY_WIN32 3u        /* from.handle: an opaque NT HANDLE */
#define MOE_MEMORY_VK_BUFFER 4u    /* from.vulkan: a VkBuffer of the device's own VkDevice, with memory bound */

/* HOST_POINTER: where the device cannot use the pages themselves, copy them into device memory now. Without the flag
 * that is refused. Later writes through the pointer are then not seen, and results come back by read_buffer alone. */
#define MOE_MEMORY_ALLOW_COPY 1u

#define MOE_MEMORY_TYPE_ANY 0xffffffffu

typedef struct moe_memory_desc {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t kind;         /* MOE_MEMORY_* */
  uint32_t flags;        /* MOE_MEMORY_ALLOW_COPY */
  uint64_t bytes;        /* of the buffer */
  uint64_t offset_bytes; /* where it begins in the memory or VkBuffer, a multiple of 4; 0 for host pointers */
  union {
    struct {
      void* pointer; /* stays the caller's; must outlive the buffer unless it was copied */
    } host;
    struct {
      int64_t handle;            /* a file descriptor, or a HANDLE */
      uint64_t allocation_bytes; /* of the whole allocation, as its exporter made it; 0: offset_bytes + bytes */
      uint32_t memory_type;      /* opaque kinds: the exporter's memory type index; dma-buf: or MOE_MEMORY_TYPE_ANY */
      uint32_t dedicated;        /* 1: the exporter made a dedicated allocation of a buffer of allocation_bytes */
    } handle;
    struct {
      uint64_t buffer; /* VkBuffer; stays the host's and must outlive everything that uses the moe_buffer */
      uint32_t usage;  /* VkBufferUsageFlags that it was created with; STORAGE_BUFFER is needed */
      uint32_t reserved;
    } vulkan;
    uint64_t words[4];
  } from;
} moe_memory_desc;

typedef struct moe_memory_support {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t can_import;
  uint32_t can_export;
  uint64_t alignment_bytes; /* HOST_POINTER: of pointer and bytes, to be used without a copy */
  char reason[240];         /* why not; empty if both, or if the kind is never exported */
} moe_memory_support;

/* What an import did. */
typedef struct moe_memory_info {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t copied; /* 1: the buffer holds a copy (MOE_MEMORY_ALLOW_COPY), see `reason` */
  uint32_t reserved;
  char reason[240];
} moe_memory_info;

/* A handle given out, with what its importer must know. */
typedef struct moe_memory_handle {
  uint64_t struct_size;
  const moe_chain* next;
  int64_t handle;            /* owned by the caller: close it, or give it to an importer */
  uint64_t allocation_bytes;
  uint64_t offset_bytes;     /* where the buffer begins in the allocation */
  uint64_t bytes;
  uint32_t memory_type;
  uint32_t dedicated;
  uint8_t device_uuid[16]; /* opaque kinds can be imported where device and driver are the same */
  uint8_t driver_uuid[16];
} moe_memory_handle;

typedef struct moe_external_memory {
  uint64_t struct_size;
  const moe_chain* next;
  /* [thread-safe] No side effect. A kind that the device cannot do is MOE_OK with the reason. */
  moe_status(MOE_CALL* query)(moe_device* device, uint32_t kind, moe_memory_support* out, moe_error* error);
  /* [device] `info` may be NULL. Contents are not touched. A file descriptor or HANDLE belongs to the library after
   * success (it may be closed at any time, do not use it again) and to the caller after any failure. Ordering with
   * other users of the memory (queue family ownership included) is the host's. */
  moe_status(MOE_CALL* import_buffer)(moe_device* device, const moe_memory_desc* desc, moe_buffer** out,
                                      moe_memory_info* info, moe_error* error);
  /* [device] Like create_buffer (zero-filled), of memory that export_buffer can hand out as `kind`. */
  moe_status(MOE_CALL* create_exportable_buffer)(moe_device* device, uint32_t kind, uint64_t bytes, moe_buffer** out,
                                                 moe_error* error);
  /* [device] A new handle each time. The memory lives until all who hold a handle or import of it are gone. */
  moe_status(MOE_CALL* export_buffer)(moe_buffer* buffer, moe_memory_handle* out, moe_error* error);
} moe_external_memory;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOE_PLUGIN_MEMORY_H_ */
