/* SPDX-License-Identifier: MIT
 *
 * moe_plugin.h - the whole contract between a host inference runtime and libmoevk.so.
 *
 * The plugin runs Mixture-of-Experts layers on Vulkan GPUs, and on a CPU reference that judges them.
 * A host opens the library, asks moe_plugin_entry for a table of functions, describes a layer, hands
 * over its weights, and submits tokens:
 *
 *   instance -> device -> layer (weights, immutable, shared) -> context (one stream of work)
 *
 * Rules that hold everywhere
 *   Sizes     Every struct begins with struct_size, set by the caller (MOE_INIT does it), and a chain
 *             pointer. Fields are only ever appended, and zero in an appended field means the behaviour
 *             from before it. A shorter struct is an older caller. Non-zero bytes past what the callee
 *             knows are refused with their offset, never ignored; so is an unknown struct in a chain.
 *   Errors    Functions return MOE_OK or an error code. `error` may be NULL; otherwise it receives the
 *             code, the path of the argument at fault ("desc.top_k"), the VkResult if there was one, and
 *             a sentence. After MOE_ERROR_DEVICE_LOST a device returns nothing else.
 *   Ownership Whoever creates an object destroys it. Children keep their parents alive, so any order of
 *             destruction is right. Pointers passed in are borrowed for the call unless said otherwise;
 *             strings handed out belong to the library and live as long as their object.
 *   Threads   [thread-safe]  any thread, any time.
 *             [device]       thread-safe; takes a lock of the device.
 *             [context]      one thread at a time for the same context (or upload).
 *             Destroying an object while another thread uses it is an error that cannot be caught.
 *   Shapes    T tokens, H hidden, F intermediate, E experts, Z identity experts, k experts per token. Matrices
 *             are row-major.
 *             A route is one (token, slot) pair; slots 0..k-1 are the routed experts in order of choice,
 *             slots k.. are the shared experts (moe_layer_info.slots_per_token counts both).
 *   Numbers   Ties go to the lowest expert id. NaN sorts below -infinity. A route whose expert id is
 *             negative or >= E + Z is skipped and adds nothing. The same calls on the same device give the
 *             same bits; a token's route does not depend on the tokens beside it.
 */
#ifndef MOE_PLUGIN_H_
#define MOE_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define MOE_CALL __cdecl
#define MOE_EXPORT __declspec(dllexport)
#else
#define MOE_CALL
#define MOE_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The ABI is 0.x until both host adapters and interop use it; minor versions of 0.x may break. */
#define MOE_ABI_VERSION_MAJOR 0u
#define MOE_ABI_VERSION_MINOR 1u
#define MOE_ABI_VERSION(major, minor) (((uint32_t)(major) << 16) | (uint32_t)(minor))
#define MOE_ABI_VERSION_CURRENT MOE_ABI_VERSION(MOE_ABI_VERSION_MAJOR, MOE_ABI_VERSION_MINOR)

#define MOE_PLUGIN_ENTRY_NAME "moe_plugin_entry"

/* Zeroes a struct of this header and sets its size: moe_layer_desc d = MOE_INIT(moe_layer_desc); */
#ifdef __cplusplus
#define MOE_INIT(type) (::moe_init<type>())
#else
#define MOE_INIT(type) ((type){.struct_size = sizeof(type)})
#endif

/* ---- status codes: stable numbers ------------------------------------------------------------- */

typedef int32_t moe_status;
#define MOE_OK 0
#define MOE_ERROR_INVALID_ARGUMENT (-1) /* an argument is malformed, or contradicts another */
#define MOE_ERROR_UNSUPPORTED (-2)      /* well-formed, but this version or device cannot do it */
#define MOE_ERROR_OUT_OF_HOST_MEMORY (-3)
#define MOE_ERROR_OUT_OF_DEVICE_MEMORY (-4) /* the device, or the budget set for it, is full */
#define MOE_ERROR_DEVICE_LOST (-5)          /* sticky */
#define MOE_ERROR_NO_DEVICE (-6)            /* no such device, or no usable Vulkan driver */
#define MOE_ERROR_VERSION (-7)              /* no version in common */
#define MOE_ERROR_IO (-8)                   /* a weight file or callback could not be read */
#define MOE_ERROR_CANCELLED (-9)            /* the host's progress callback asked to stop, or abort */
#define MOE_ERROR_TIMEOUT (-10)             /* wait: the value was not reached in time; not a failure */
#define MOE_ERROR_STATE (-11)               /* the object is not in a state that allows the call */
#define MOE_ERROR_DRIVER (-12)              /* a Vulkan call failed in a way none of the above names */
#define MOE_ERROR_INTERNAL (-13)            /* a defect of the library; please report it */

/* Every struct that may stand in a chain begins like this. No chained struct is defined yet. */
typedef struct moe_chain {
  uint64_t struct_size;
  const struct moe_chain* next;
  uint64_t type;
} moe_chain;

/* Filled on failure, cleared on success. A call whose moe_error is shorter than this is refused. */
typedef struct moe_error {
  uint64_t struct_size;
  const moe_chain* next;
  moe_status code;
  int32_t vk_result;  /* VkResult, 0 if none */
  char argument[128]; /* path of the argument at fault, e.g. "desc.top_k"; empty if none */
  char text[496];     /* one sentence, NUL-terminated */
} moe_error;

/* ---- opaque objects --------------------------------------------------------------------------- */

typedef struct moe_instance moe_instance;
typedef struct moe_device moe_device;
typedef struct moe_upload moe_upload;   /* a weight transaction */
typedef struct moe_layer moe_layer;     /* committed weights, immutable */
typedef struct moe_buffer moe_buffer;   /* device memory */
typedef struct moe_context moe_context; /* a stream of work with its workspace */

/* ---- instance --------------------------------------------------------------------------------- */

#define MOE_LOG_ERROR 0u
#define MOE_LOG_WARNING 1u
#define MOE_LOG_INFO 2u
#define MOE_LOG_TRACE 3u

typedef struct moe_instance_desc {
  uint64_t struct_size;
  const moe_chain* next;
  void* user; /* passed to the callbacks below */
  /* Called from any thread, never concurrently for one instance; must not call the library.
   * NULL: stderr; warnings, errors, and the traces that MOEVK_TRACE asks for. */
  void(MOE_CALL* log)(void* user, uint32_t level, const char* message);
  /* Bulk host memory (reference weights, staging for transposed weights, host copies of buffers):
   * both or neither. Must be thread-safe; allocate returns NULL when out of memory. */
  void*(MOE_CALL* allocate)(void* user, uint64_t bytes, uint64_t alignment);
  void(MOE_CALL* deallocate)(void* user, void* pointer, uint64_t bytes, uint64_t alignment);
  uint32_t flags; /* MOE_INSTANCE_* */
  uint32_t reserved;
} moe_instance_desc;

#define MOE_INSTANCE_VALIDATION 1u /* Vulkan validation with synchronization checks; refused where not installed */
#define MOE_INSTANCE_NO_VULKAN 2u  /* offer the CPU reference only */

/* ---- devices ---------------------------------------------------------------------------------- */

#define MOE_DEVICE_KIND_REFERENCE 0u /* plain loops in float64 on the CPU: the judge, not a fallback */
#define MOE_DEVICE_KIND_DISCRETE_GPU 1u
#define MOE_DEVICE_KIND_INTEGRATED_GPU 2u
#define MOE_DEVICE_KIND_VIRTUAL_GPU 3u
#define MOE_DEVICE_KIND_CPU_VULKAN 4u /* a software Vulkan driver */
#define MOE_DEVICE_KIND_OTHER 5u

typedef struct moe_device_info {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t kind;   /* MOE_DEVICE_KIND_* */
  uint32_t usable; /* 0: see `reason` */
  char name[256];
  char driver[256]; /* name and version, as the driver says them */
  char reason[256]; /* why the device cannot be used, feature by feature; empty if it can */
  uint32_t vendor_id;
  uint32_t device_id;
  uint32_t vulkan_version; /* VK_MAKE_API_VERSION encoding; 0 for the reference */
  uint32_t reserved;
  uint8_t device_uuid[16];
  uint8_t driver_uuid[16];
  uint64_t memory_bytes; /* device-local heap */
  uint64_t free_bytes;   /* what the driver said was available when the instance was made; memory_bytes if it did not */
} moe_device_info;

typedef struct moe_device_desc {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t index; /* as in get_device_info */
  uint32_t reserved;
  uint64_t memory_budget_bytes; /* weights, buffers and workspaces together, not staging; 0: no budget of ours */
} moe_device_desc;

/* ---- what a layer computes -------------------------------------------------------------------- */
/* y = out_scale * (sum over routes of weight * FFN_expert(x) + shared(x)) + beta * residual.
 * docs/semantics.md has every formula. Zero in a field means: not used, or the default named. */

/* Element types, of activations and of weights. */
#define MOE_DTYPE_F32 0u
#define MOE_DTYPE_F16 1u
#define MOE_DTYPE_BF16 2u
#define MOE_DTYPE_I32 3u
#define MOE_DTYPE_BLOCKS 4u /* of a tensor's bytes: blocks of a format that a moe_weight_format names */

/* A weight format is data. Plain formats set element only, GGUF block formats preset only. Affine formats (integers of
 * 2, 4 or 8 bits, fp8, fp4: weight = (code - zero point) * scale) have scales, and zero points if stored, in tensors of
 * their own; see the list of tensors below. Their rows are a multiple of 16 weights. */
#define MOE_ELEMENT_F32 0u
#define MOE_ELEMENT_F16 1u
#define MOE_ELEMENT_BF16 2u
#define MOE_ELEMENT_FP8_E4M3 3u /* e4m3fn: no infinities */
#define MOE_ELEMENT_FP8_E5M2 4u
#define MOE_ELEMENT_FP4_E2M1 5u
#define MOE_ELEMENT_INT 6u      /* `bits` wide, see zero_point */
#define MOE_ELEMENT_CODEBOOK 7u /* an entry of a table that the preset names */

#define MOE_SCALE_NONE 0u
#define MOE_SCALE_F32 1u
#define MOE_SCALE_F16 2u
#define MOE_SCALE_BF16 3u
#define MOE_SCALE_E8M0 4u
#define MOE_SCALE_E4M3 5u

#define MOE_ZERO_POINT_NONE 0u    /* integers: codes are two's complement */
#define MOE_ZERO_POINT_CENTRE 1u  /* 2^(bits-1) for every block */
#define MOE_ZERO_POINT_STORED 2u  /* one integer a block */
#define MOE_ZERO_POINT_MINIMUM 3u /* a stored offset is added after scaling */

#define MOE_BLOCK_ALL_ROWS 0xFFFFFFFFu /* block_rows: all rows of an expert's matrix */

typedef struct moe_weight_format {
  uint32_t element;       /* MOE_ELEMENT_* */
  uint32_t bits;          /* per element; 0: what `element` implies */
  uint32_t block_columns; /* elements along the input dimension that share a scale: 16..1024, 2^n; 0: all of a row */
  uint32_t block_rows;    /* rows of the tensor that share a scale, 2^n, or MOE_BLOCK_ALL_ROWS; 0 or 1: one */
  uint32_t scale;         /* MOE_SCALE_* */
  uint32_t zero_point;    /* MOE_ZERO_POINT_* */
  uint32_t packing;       /* order of elements in a word; 0: low bits first along the input dimension */
  uint32_t preset;        /* 0, or 1 + ggml type number for a GGUF block format */
} moe_weight_format;

/* Where routes come from. */
#define MOE_ROUTE_FROM_ROUTER 0u      /* tensor "router.weight" times x, in fp32 */
#define MOE_ROUTE_FROM_LOGITS 1u      /* forward is given logits [T, E] */
#define MOE_ROUTE_FROM_SCORES 2u      /* forward is given selection scores [T, E] and weights [T, E] */
#define MOE_ROUTE_FROM_IDS 3u         /* forward is given ids [T, k] and weights [T, k] */
#define MOE_ROUTE_DENSE 4u            /* E = 1, k = 1: an ordinary FFN, weight 1 */
#define MOE_ROUTE_FROM_TOKEN_TABLE 5u /* ids from a table [vocabulary, k] by token id, weights from the router */

#define MOE_SCORE_IDENTITY 0u
#define MOE_SCORE_SOFTMAX 1u
#define MOE_SCORE_SIGMOID 2u
#define MOE_SCORE_SQRT_SOFTPLUS 3u

#define MOE_SELECT_TOP_K 0u
#define MOE_SELECT_SPARSEMIXER 1u
#define MOE_SELECT_EXPERT_CHOICE 2u

#define MOE_GROUP_SCORE_MAX 0u
#define MOE_GROUP_SCORE_SUM_TOP_N 1u

#define MOE_WEIGHT_IDENTITY 0u /* w = p[ids] */
#define MOE_WEIGHT_SOFTMAX 1u  /* softmax over the k chosen */
#define MOE_WEIGHT_SIGMOID 2u

#define MOE_NORMALIZE_NONE 0u
#define MOE_NORMALIZE_SUM_EPS 1u   /* w / (sum w + eps) */
#define MOE_NORMALIZE_SUM_FLOOR 2u /* w / max(sum w, eps) */
#define MOE_NORMALIZE_P_NORM 3u    /* w / (sum |w|^p)^(1/p) */

#define MOE_ACTIVATION_SILU 0u
#define MOE_ACTIVATION_GELU_TANH 1u
#define MOE_ACTIVATION_GELU_ERF 2u
#define MOE_ACTIVATION_RELU 3u
#define MOE_ACTIVATION_RELU2 4u
#define MOE_ACTIVATION_SWIGLU_OAI 5u        /* g=min(g,L), u=clamp(u,+-L): g*sigmoid(alpha*g)*(u+beta) */
#define MOE_ACTIVATION_SWIGLU_CLAMP_PRE 6u  /* silu(min(g,L)) * clamp(u,+-L) */
#define MOE_ACTIVATION_SWIGLU_CLAMP_POST 7u /* min(silu(g),L) * clamp(u,+-L) */
#define MOE_ACTIVATION_SITU 8u              /* alpha*tanh(g/alpha)*sigmoid(g) * beta*tanh(u/beta), or u */

#define MOE_GATE_UP_SEPARATE 0u     /* tensors experts.gate and experts.up */
#define MOE_GATE_UP_CONCATENATED 1u /* experts.gate_up: F rows of gate, then F rows of up */
#define MOE_GATE_UP_CONCATENATED_UP_FIRST 2u
#define MOE_GATE_UP_INTERLEAVED 3u /* even rows gate, odd rows up */

#define MOE_MATRIX_OUT_IN 0u /* [E, out, in]: a row holds one output's weights */
#define MOE_MATRIX_IN_OUT 1u /* [E, in, out] */

#define MOE_SHARED_GATE_ONE 0u      /* y += shared(x) */
#define MOE_SHARED_GATE_SIGMOID 1u  /* y += sigmoid(x . shared.router) * shared(x) */
#define MOE_SHARED_GATE_CONSTANT 2u /* y += shared_constant * shared(x) */

#define MOE_CAPACITY_NONE 0u
#define MOE_CAPACITY_POSITION 1u /* first slots of all tokens before any second, tokens in order */
#define MOE_CAPACITY_PROBABILITY 2u
#define MOE_CAPACITY_BATCH_PRIORITISED 3u

#define MOE_PRECISION_EXACT 0u  /* f32 activations and accumulation */
#define MOE_PRECISION_MATRIX 1u /* activations of 11 significant bits in the range of f32, f32 accumulation */
#define MOE_PRECISION_INT8 2u   /* activations as whole 127ths of the largest of 32 neighbours */

/* Flags of a layer. */
#define MOE_LAYER_UNGATED (1u << 0)        /* h = act(x Wup): no gate matrix */
#define MOE_LAYER_ROUTER_BIAS (1u << 1)    /* tensor router.bias [E + Z] */
#define MOE_LAYER_SELECTION_BIAS (1u << 2) /* tensor router.selection_bias [E + Z]: selects, never weighs */
#define MOE_LAYER_EXPERT_BIAS \
  (1u << 3) /* tensors experts.{gate,up}.bias [E,F] (or gate_up.bias), experts.down.bias [E,H] */
#define MOE_LAYER_NORMALIZE_SINGLE (1u << 4) /* renormalise for k = 1 too */
#define MOE_LAYER_INPUT_NORM (1u << 5)       /* x := RMSNorm(x) * tensor norm.weight [H] */
#define MOE_LAYER_WEIGHT_ON_INPUT \
  (1u << 6) /* the routing weight multiplies x, not the output; shared experts: the output */
#define MOE_LAYER_PER_EXPERT_SCALE (1u << 7)      /* tensor router.expert_scale [E] */
#define MOE_LAYER_LATENT_NORM (1u << 8)           /* RMSNorm, tensor latent.norm [L], of the sum that latent.up reads */
#define MOE_LAYER_SEPARATE_ROUTER_INPUT (1u << 9) /* forward is given router_x [T, H] */
#define MOE_LAYER_ROUTER_INPUT_NORM (1u << 10)    /* RMSNorm without weight on the router's input, by norm_eps */
#define MOE_LAYER_ROUTER_INPUT_SCALE (1u << 11)   /* tensor router.input_scale [H] */
#define MOE_LAYER_NOISY_TOP_K (1u << 12)          /* tensor router.noise_weight [E,H] */
#define MOE_LAYER_BATCH_INVARIANT (1u << 13)      /* reserved: refused until it is done */

typedef struct moe_layer_desc {
  uint64_t struct_size;
  const moe_chain* next;
  /* shape */
  uint32_t hidden;           /* H, 1..262128 */
  uint32_t intermediate;     /* F, 1..262128 */
  uint32_t experts;          /* E, 1..1024 */
  uint32_t top_k;            /* k, 1..min(E + Z, 32) */
  uint32_t identity_experts; /* Z, 0..1024: ids E..E+Z-1 add weight * x; the router chooses from E + Z */
  uint32_t flags;            /* MOE_LAYER_* */
  /* routing, in the order in which it is computed */
  uint32_t route_source; /* MOE_ROUTE_* */
  float logit_soft_cap;  /* c > 0: l = c tanh(l / c) */
  uint32_t score;        /* MOE_SCORE_*: p */
  uint32_t selection;    /* MOE_SELECT_* */
  uint32_t groups;       /* n_group, neighbours, at most 32; 0 or 1: none */
  uint32_t groups_kept;  /* topk_group: experts of other groups are never chosen */
  uint32_t group_score;  /* MOE_GROUP_SCORE_* */
  uint32_t group_top_n;  /* n of MOE_GROUP_SCORE_SUM_TOP_N */
  uint32_t weight;       /* MOE_WEIGHT_* */
  uint32_t normalize;    /* MOE_NORMALIZE_* */
  float normalize_eps;   /* eps or floor */
  float normalize_p;     /* p of MOE_NORMALIZE_P_NORM */
  float routed_scale;    /* 0 means 1 */
  float sparsemixer_eps;
  float router_input_multiplier; /* 0 means 1 */
  uint32_t token_table_rows;     /* vocabulary of MOE_ROUTE_FROM_TOKEN_TABLE */
  /* Capacity: of the T tokens of a call, each of the E experts serves max(capacity_minimum, ceil(T k capacity_factor
   * / E)) routes. A route beyond that adds nothing: its id is returned as -1, its weight and its token's other weights
   * stay. Identity and shared experts have no limit. One call takes at most max_stage_tokens tokens then. */
  uint32_t capacity; /* MOE_CAPACITY_* */
  float capacity_factor;
  uint32_t capacity_minimum;
  uint32_t noise_seed; /* of MOE_LAYER_NOISY_TOP_K */
  /* the experts' feed-forward network */
  uint32_t activation;     /* MOE_ACTIVATION_* */
  float activation_alpha;  /* swiglu_oai: alpha (0 means 1.702); situ: b1 (0 means 4) */
  float activation_beta;   /* swiglu_oai: beta, as given; situ: b2 (<= 0: no cap on u) */
  float activation_limit;  /* L; 0 or less: no clamp */
  uint32_t gate_up_layout; /* MOE_GATE_UP_*: how the host stores them */
  uint32_t matrix_order;   /* MOE_MATRIX_*: likewise, of experts.* and shared.* */
  uint32_t latent;         /* L, 1..H: routed experts read latent.down x and their sum passes latent.up; 0: none */
  uint32_t lora_rank;      /* expert LoRA; 0: none */
  float lora_alpha;
  float norm_eps; /* of every RMSNorm; 0 means 1e-6 */
  /* shared experts */
  uint32_t shared_intermediate; /* width of all shared experts together; 0: none */
  uint32_t shared_gate;         /* MOE_SHARED_GATE_* */
  float shared_constant;
  float out_scale; /* 0 means 1 */
  /* numbers */
  uint32_t precision; /* MOE_PRECISION_* */
  uint32_t reserved;
  moe_weight_format gate_format;
  moe_weight_format up_format;
  moe_weight_format down_format;
  moe_weight_format shared_gate_format;
  moe_weight_format shared_up_format;
  moe_weight_format shared_down_format;
  moe_weight_format latent_down_format;
  moe_weight_format latent_up_format;
} moe_layer_desc;

typedef struct moe_support {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t supported;
  uint32_t reserved;
  char argument[128]; /* the field that stands in the way, e.g. "desc.capacity" */
  char reason[368];   /* why not; empty if supported */
} moe_support;

typedef struct moe_estimate {
  uint64_t struct_size;
  const moe_chain* next;
  uint64_t weight_bytes;      /* device memory of all layers' weights, padding included */
  uint64_t workspace_bytes;   /* of one context that runs any of them with max_tokens */
  uint64_t staging_bytes;     /* fixed, while weights are uploaded */
  uint64_t total_parameters;  /* of all layers, shared experts and routers included */
  uint64_t active_parameters; /* that one token meets */
} moe_estimate;

/* ---- weights: a transaction ------------------------------------------------------------------- */
/* begin_weights -> add_tensor ... -> commit_weights, or cancel_weights. Tensors that a layer needs
 * (list_tensors names them): router.weight [E+Z,H], router.bias [E+Z], router.selection_bias [E+Z],
 * router.input_scale [H], router.expert_scale [E], router.token_table [token_table_rows,k] (i32; an id of no expert:
 * the route is skipped),
 * experts.gate|up [E,F,H], experts.gate_up [E,2F,H], experts.down [E,H,F], their .bias (experts.gate_up.bias [E,2F]),
 * shared.gate|up [Fs,H], shared.gate_up [2Fs,H], shared.down [H,Fs], shared.router [H], norm.weight [H],
 * latent.down [L,H], latent.norm [L], latent.up [H,L]; with them, L is in the place of H in experts.*.
 * A matrix [R,C] of an affine format has, in BLOCKS, rows of C * bits / 8 bytes, low bits first. With it come, and must
 * be added before it for the same experts: its .scale [ceil(R / block_rows), G] in the scale's type (E8M0: BLOCKS), with
 * G = ceil(C / block_columns) or 1; and for MOE_ZERO_POINT_STORED its .zero, in BLOCKS, integers of `bits` bits, low
 * bits first: [R, ceil(G * bits / 8)] bytes, or [ceil(R * bits / 8)] where a row is one block. Their expert axis is the
 * matrix's. R counts the rows of the tensor: a joined gate_up has scales for 2F. */

#define MOE_SOURCE_MEMORY 0u
#define MOE_SOURCE_FILE 1u
#define MOE_SOURCE_CALLBACK 2u

typedef struct moe_tensor_source {
  uint64_t struct_size;
  const moe_chain* next;
  const char* name;      /* "experts.gate" */
  uint32_t expert_first; /* for a part of the experts; ignored where a tensor has no expert axis */
  uint32_t expert_count; /* 0: all from expert_first on */
  uint32_t source;       /* MOE_SOURCE_* */
  uint32_t dtype; /* MOE_DTYPE_*: f32, f16 or bf16 for vectors and the router, i32 for the table; matrices are in the
                             format of the descriptor and this field must agree with it (BLOCKS: all but plain ones);
                             BLOCKS also for router.weight and shared.router, see `format` */
  const void* memory; /* MEMORY: contiguous, read during the call */
  uint64_t bytes;     /* must be exactly what the shape and format need */
  const char* path;   /* FILE: UTF-8; read during the call, never held */
  uint64_t file_offset;
  /* CALLBACK: writes `bytes` bytes from `offset` of the tensor to `destination`; returns 0, or an error
   * number that add_tensor reports. Called on the caller's thread, offsets rising per expert matrix. */
  int32_t(MOE_CALL* read)(void* user, uint64_t offset, void* destination, uint64_t bytes);
  void* user;
  moe_weight_format format; /* of router.weight or shared.router in blocks, which are decoded to f32; else zero */
} moe_tensor_source;

/* A tensor that already lies in a buffer of the device, all experts packed as they would be in host memory. It stays
 * there (gate, up, down; [out, in] order; columns a multiple of 16; from a multiple of 16 bytes on; not interleaved;
 * shared experts only where they do not join the routed ones), else it is copied (a host's VkBuffer then needs
 * TRANSFER_SRC usage). The layer holds the buffer; what it uses in place must not change while it may run. */
typedef struct moe_tensor_binding {
  uint64_t struct_size;
  const moe_chain* next;
  const char* tensor; /* "experts.down" */
  moe_buffer* buffer;
  uint64_t offset_bytes;
  uint32_t flags; /* MOE_BINDING_* */
  uint32_t reserved;
} moe_tensor_binding;

#define MOE_BINDING_MUST_NOT_COPY 1u /* refuse, with the reason, instead of copying */
/* The buffer has rows as the device keeps them (moe_plugin_packed.h), of any format but affine ones and any number of
 * columns: [experts, rows of the tensor]. Never copied. */
#define MOE_BINDING_PACKED 2u

typedef struct moe_upload_desc {
  uint64_t struct_size;
  const moe_chain* next;
  void* user;
  /* Called on the caller's thread during add_tensor and commit, and during begin_weights for what bindings copy;
   * non-zero asks to stop: the call returns MOE_ERROR_CANCELLED, and the transaction can only be cancelled (begin_weights
   * then gives none). */
  int32_t(MOE_CALL* progress)(void* user, uint64_t done_bytes, uint64_t total_bytes);
  /* Tensors that need no add_tensor. What is copied of them is read during begin_weights: it must be complete then. */
  const moe_tensor_binding* bindings;
  uint32_t binding_count;
  uint32_t reserved;
} moe_upload_desc;

typedef struct moe_tensor_info {
  uint64_t struct_size;
  const moe_chain* next;
  char name[64];
  uint32_t experts; /* length of the expert axis; 0: none */
  uint32_t rows;    /* as the host stores it (layout and order of the descriptor) */
  uint32_t columns;
  uint32_t dtype; /* matrices: the format's; vectors and router: MOE_DTYPE_F32, f16 and bf16 also taken */
  uint64_t bytes; /* of all experts in that dtype */
} moe_tensor_info;

typedef struct moe_layer_info {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t slots_per_token; /* k + shared slots */
  uint32_t shared_slots;
  uint32_t experts_total; /* E + shared experts as the device holds them */
  uint32_t reserved;
  uint64_t weight_bytes;     /* device memory held */
  uint64_t in_place_bytes;   /* used where they lie, in buffers of moe_upload_desc.bindings */
  uint64_t max_stage_tokens; /* that plan_dispatch and experts take in one call; forward takes any number */
} moe_layer_info;

/* ---- tensors as views ------------------------------------------------------------------------- */

typedef struct moe_view {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t dtype; /* MOE_DTYPE_* */
  uint32_t reserved;
  uint64_t rows;
  uint64_t columns;
  uint64_t row_stride_bytes; /* 0: packed */
  /* Either host memory, borrowed until wait has returned for the flush that follows (outputs are filled there) ... */
  void* host;
  /* ... or a buffer of the same device; offset and row stride must be multiples of 4 there (a padding
   * half-word at the end of an odd 16-bit row is overwritten). */
  moe_buffer* buffer;
  uint64_t offset_bytes;
} moe_view;

/* Arguments of forward and of the four stages. Views not used by a call must be NULL. */
typedef struct moe_call_args {
  uint64_t struct_size;
  const moe_chain* next;
  uint64_t tokens;          /* T >= 1 */
  const moe_view* x;        /* [T, H] f32|f16|bf16 */
  const moe_view* router_x; /* [T, H], with MOE_LAYER_SEPARATE_ROUTER_INPUT */
  const moe_view* residual; /* [T, H] f32|f16|bf16; y may alias it, or x */
  const moe_view* y;        /* [T, H] f32|f16|bf16 */
  float beta;               /* y += beta * residual */
  uint32_t reserved;
  /* inputs of the route, by route_source */
  const moe_view* logits_in;  /* [T, E+Z] f32 */
  const moe_view* scores_in;  /* [T, E+Z] f32 */
  const moe_view* weights_in; /* FROM_SCORES: [T, E+Z]; FROM_IDS: [T, k]; f32 */
  const moe_view* ids_in;     /* FROM_IDS: [T, k] i32 */
  const moe_view* token_ids;  /* [T, 1] i32, with a token table; beyond its rows: the token's routes are skipped */
  /* outputs of the route, each optional in forward */
  /* [T, k] or [T, slots] i32: experts 0..E-1, identity experts E..E+Z-1, shared experts (slots k..) from E+Z on; -1
   * where a route is skipped */
  const moe_view* ids;
  const moe_view* weights; /* [T, k] or [T, slots] f32, scaled as they are applied */
  const moe_view* logits;  /* [T, E+Z] f32; only where the router is computed here; before the soft cap */
  const moe_view* scores;  /* [T, E+Z] f32: the values the selection compared; only where there is a selection */
  const moe_view* counts;  /* [1, E+Z] i32: routes per expert */
  /* between stages: [1, T*slots] i32, routes sorted by expert, stable; [1, experts_total + 1] i32 */
  const moe_view* order;
  const moe_view* offsets;
  const moe_view* expert_out; /* [T*slots, H] f32: weight * FFN(x) of each route, or FFN(weight * x); of a routed
                                 expert in a latent space its L numbers, then zeros */
} moe_call_args;
/* forward        x, route inputs, residual?                  -> y, route outputs?
 * route          x and route inputs                          -> ids [T,slots], weights [T,slots], others?
 * plan_dispatch  ids [T,slots]                               -> order, offsets, counts?
 * experts        x, ids, weights [T,slots], order, offsets   -> expert_out
 * combine        ids [T,slots], expert_out, residual?        -> y
 * order and offsets know the experts that have weights: 0..E-1, then the shared ones. Entries of order past
 * offsets[experts_total] (as many as routes are skipped or go to identity experts) are -1. plan_dispatch and experts
 * take moe_layer_info.max_stage_tokens tokens in one call; a host with more calls the stages piece by piece.
 * The stages one after another give the same bits as forward. Between experts a host may put a transport
 * of its own: route on one device, experts on another with the tokens it was sent. */

/* ---- contexts --------------------------------------------------------------------------------- */

typedef struct moe_context_desc {
  uint64_t struct_size;
  const moe_chain* next;
  uint64_t max_tokens;        /* of one call, 1..2^20 */
  uint32_t flushes_in_flight; /* 1..64; 0 means 2 */
  uint32_t reserved;
  /* Workspace: the host's, or (NULL) the context's own, which grows to what its layers need. */
  moe_buffer* workspace;
  uint64_t workspace_offset_bytes; /* a multiple of 256 */
  uint64_t workspace_bytes;
} moe_context_desc;

/* ---- the table -------------------------------------------------------------------------------- */

typedef struct moe_api {
  uint64_t struct_size;
  const moe_chain* next;
  uint32_t version; /* MOE_ABI_VERSION encoding of the version agreed on */
  uint32_t reserved;
  const char* build; /* library version, compiler, shader compiler */

  /* [thread-safe] */
  moe_status(MOE_CALL* create_instance)(const moe_instance_desc* desc, moe_instance** out, moe_error* error);
  void(MOE_CALL* destroy_instance)(moe_instance* instance);
  /* [thread-safe] Index 0.. are Vulkan devices in the driver's order, the last one is the CPU reference. */
  moe_status(MOE_CALL* get_device_count)(moe_instance* instance, uint32_t* count, moe_error* error);
  moe_status(MOE_CALL* get_device_info)(moe_instance* instance, uint32_t index, moe_device_info* info,
                                        moe_error* error);
  /* [thread-safe] Index of the device that MOEVK_DEVICE names, else the best usable one: discrete, integrated,
   * virtual, other, software Vulkan, reference. */
  moe_status(MOE_CALL* choose_device)(moe_instance* instance, uint32_t* index, moe_error* error);
  /* [thread-safe] Why there is no GPU (no loader, no driver, ...); an empty string where there is one. */
  const char*(MOE_CALL* why_no_gpu)(moe_instance* instance);
  moe_status(MOE_CALL* open_device)(moe_instance* instance, const moe_device_desc* desc, moe_device** out,
                                    moe_error* error);
  void(MOE_CALL* close_device)(moe_device* device);

  /* [thread-safe] No side effect. MOE_OK with supported = 0 says that the layer is legal but not done here;
   * a descriptor that contradicts itself is MOE_ERROR_INVALID_ARGUMENT. */
  moe_status(MOE_CALL* query_support)(moe_device* device, const moe_layer_desc* desc, moe_support* out,
                                      moe_error* error);
  /* [thread-safe] Allocates nothing. */
  moe_status(MOE_CALL* estimate)(moe_device* device, const moe_layer_desc* const* descs, uint32_t count,
                                 uint64_t max_tokens, moe_estimate* out, moe_error* error);
  /* [thread-safe] The tensors that a layer needs: *count in: room in `out` (may be NULL); out: how many. */
  moe_status(MOE_CALL* list_tensors)(moe_device* device, const moe_layer_desc* desc, moe_tensor_info* out,
                                     uint32_t* count, moe_error* error);

  /* [device] begin allocates all of the layer's device memory. [context] add_tensor copies before it returns.
   * commit hands out the layer and ends the transaction; where a tensor is missing, the
   * transaction stays open. upload may be NULL (no progress).
   * After a tensor that failed half-way, or a stop asked for by progress, only cancel_weights is left. */
  moe_status(MOE_CALL* begin_weights)(moe_device* device, const moe_layer_desc* desc, const moe_upload_desc* upload,
                                      moe_upload** out, moe_error* error);
  moe_status(MOE_CALL* add_tensor)(moe_upload* upload, const moe_tensor_source* source, moe_error* error);
  moe_status(MOE_CALL* commit_weights)(moe_upload* upload, moe_layer** out, moe_error* error);
  void(MOE_CALL* cancel_weights)(moe_upload* upload);
  /* [thread-safe] */
  moe_status(MOE_CALL* get_layer_info)(moe_layer* layer, moe_layer_info* out, moe_error* error);
  void(MOE_CALL* destroy_layer)(moe_layer* layer);
  /* [device] Compiles every pipeline that a call (forward or a stage) with first..last tokens may use. */
  moe_status(MOE_CALL* prepare)(moe_layer* layer, uint64_t first_tokens, uint64_t last_tokens, moe_error* error);

  /* [device] Zero-filled. read and write are synchronous and do not order themselves behind contexts. */
  moe_status(MOE_CALL* create_buffer)(moe_device* device, uint64_t bytes, moe_buffer** out, moe_error* error);
  void(MOE_CALL* destroy_buffer)(moe_buffer* buffer);
  moe_status(MOE_CALL* write_buffer)(moe_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes,
                                     moe_error* error);
  moe_status(MOE_CALL* read_buffer)(moe_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes,
                                    moe_error* error);

  /* [device] */
  moe_status(MOE_CALL* create_context)(moe_device* device, const moe_context_desc* desc, moe_context** out,
                                       moe_error* error);
  /* Waits for what was flushed; what was not is dropped. */
  void(MOE_CALL* destroy_context)(moe_context* context);
  /* [context] Encode one call behind the earlier ones; a call sees what they wrote to buffers. Host memory written by
   * a call is filled at wait; a later call of the same flush must not read it. Nothing runs before flush. Outputs may
   * overlap neither each other nor inputs, except that y may be x or residual row for row.
   * Host inputs may be read, and objects are held, from here on. On failure nothing was encoded. Waits where all
   * flushes_in_flight are under way. */
  moe_status(MOE_CALL* forward)(moe_context* context, moe_layer* layer, const moe_call_args* args, moe_error* error);
  moe_status(MOE_CALL* route)(moe_context* context, moe_layer* layer, const moe_call_args* args, moe_error* error);
  moe_status(MOE_CALL* plan_dispatch)(moe_context* context, moe_layer* layer, const moe_call_args* args,
                                      moe_error* error);
  moe_status(MOE_CALL* experts)(moe_context* context, moe_layer* layer, const moe_call_args* args, moe_error* error);
  moe_status(MOE_CALL* combine)(moe_context* context, moe_layer* layer, const moe_call_args* args, moe_error* error);
  /* [context] Submits what is encoded, as one submit. *value rises by one per flush. On failure it is dropped. */
  moe_status(MOE_CALL* flush)(moe_context* context, uint64_t* value, moe_error* error);
  /* [context] Waits until `value` is reached; host outputs of flushes up to it are then filled. */
  moe_status(MOE_CALL* wait)(moe_context* context, uint64_t value, uint64_t timeout_ns, moe_error* error);
  moe_status(MOE_CALL* get_completed)(moe_context* context, uint64_t* value, moe_error* error);
  /* [context] Drops what was encoded since the last flush. */
  moe_status(MOE_CALL* abort)(moe_context* context, moe_error* error);

  /* [thread-safe] A named extension's table ("moe.introspection"), or NULL. */
  const void*(MOE_CALL* get_extension)(const char* name);
} moe_api;

/* The one exported symbol. [thread-safe] Agrees on the highest version both sides know within
 * min_version..max_version and hands out a table that lives as long as the library is loaded. */
typedef moe_status(MOE_CALL* moe_plugin_entry_fn)(uint32_t min_version, uint32_t max_version, const moe_api** out,
                                                  moe_error* error);

#ifdef __cplusplus
} /* extern "C" */

template <class T>
inline T moe_init() {
  T value{};
  value.struct_size = sizeof(T);
  return value;
}
#endif

#endif /* MOE_PLUGIN_H_ */
