/* SPDX-License-Identifier: MIT
 *
 * c_host.c - a host in C11: runs a small MoE layer on the best device, and checks it against the
 * CPU reference, which is just another device of the same library. usage: c_host [LIBRARY]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin_api/moe_loader.h"

enum { H = 64, F = 128, E = 8, K = 2, T = 4, MATRIX = E * F * H }; /* K of E experts, T tokens */

static const char* const names[] = {"router.weight", "experts.gate", "experts.up", "experts.down"};
static const size_t counts[] = {E * H, MATRIX, MATRIX, MATRIX};
static float numbers[T * H + E * H + 3 * MATRIX]; /* x [T, H], then the tensors */
static moe_library library;
static moe_error error;

/* Every call returns a status and fills an error: a code, the argument at fault, a sentence. */
static void must(moe_status status, const char* call) {
  if (status == MOE_OK) return;
  fprintf(stderr, "%s: error %d: %s: %s\n", call, (int)status, error.argument, error.text);
  exit(1);
}

static moe_view host_view(void* data, uint32_t dtype, uint64_t columns) {
  moe_view view = MOE_INIT(moe_view);
  view.dtype = dtype, view.rows = T, view.columns = columns, view.host = data;
  return view;
}

static void run_on(moe_instance* instance, uint32_t index, float* y, int32_t* ids) {
  const moe_api* api = library.api;
  moe_device* device = NULL;
  moe_device_desc device_desc = MOE_INIT(moe_device_desc);
  device_desc.index = index;
  must(api->open_device(instance, &device_desc, &device, &error), "open_device");

  moe_layer_desc desc = MOE_INIT(moe_layer_desc); /* zero elsewhere: a router, silu, f32 weights */
  desc.hidden = H, desc.intermediate = F, desc.experts = E, desc.top_k = K;
  desc.score = MOE_SCORE_SOFTMAX, desc.normalize = MOE_NORMALIZE_SUM_EPS;

  moe_upload* upload = NULL; /* weights are a transaction: begin, add (copies), commit */
  moe_layer* layer = NULL;
  const float* data = numbers + T * H;
  must(api->begin_weights(device, &desc, NULL, &upload, &error), "begin_weights");
  for (size_t i = 0; i < sizeof names / sizeof *names; data += counts[i++]) {
    moe_tensor_source source = MOE_INIT(moe_tensor_source);
    source.name = names[i], source.memory = data, source.bytes = counts[i] * sizeof *data;
    must(api->add_tensor(upload, &source, &error), names[i]);
  }
  must(api->commit_weights(upload, &layer, &error), "commit_weights");

  moe_context* context = NULL; /* a stream of work: encode calls, flush them as one submit, wait */
  moe_context_desc context_desc = MOE_INIT(moe_context_desc);
  context_desc.max_tokens = T;
  must(api->create_context(device, &context_desc, &context, &error), "create_context");
  const moe_view x_view = host_view(numbers, MOE_DTYPE_F32, H);
  const moe_view y_view = host_view(y, MOE_DTYPE_F32, H);
  const moe_view ids_view = host_view(ids, MOE_DTYPE_I32, K);
  moe_call_args args = MOE_INIT(moe_call_args);
  args.tokens = T, args.x = &x_view, args.y = &y_view, args.ids = &ids_view;
  uint64_t value = 0;
  must(api->forward(context, layer, &args, &error), "forward");
  must(api->flush(context, &value, &error), "flush");
  must(api->wait(context, value, UINT64_MAX, &error), "wait");
  api->destroy_context(context), api->destroy_layer(layer), api->close_device(device);
}

int main(int argc, char** argv) {
  moe_instance_desc instance_desc = MOE_INIT(moe_instance_desc);
  moe_instance* instance = NULL;
  uint32_t count = 0, best = 0, state = 1;
  float y[T * H], expected[T * H], largest = 0, difference = 0;
  int32_t ids[T * K], expected_ids[T * K];
  error = MOE_INIT(moe_error);
  must(moe_library_open(&library, argc > 1 ? argv[1] : NULL, &error), "moe_library_open");
  must(library.api->create_instance(&instance_desc, &instance, &error), "create_instance");
  must(library.api->choose_device(instance, &best, &error), "choose_device");
  must(library.api->get_device_count(instance, &count, &error), "get_device_count");
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i) { /* between -0.3 and 0.3 */
    state = state * 1664525u + 1013904223u;
    numbers[i] = 0.3f * ((float)(state >> 8) / 8388608.0f - 1.0f);
  }
  run_on(instance, best, y, ids);
  run_on(instance, count - 1, expected, expected_ids); /* the last device is the reference */
  for (size_t t = 0; t < T; ++t)
    printf("token %zu  experts %d %d  y %9.6f ...\n", t, ids[t * K], ids[t * K + 1], y[t * H]);
  for (size_t i = 0; i < T * H; ++i) {
    largest = fmaxf(largest, fabsf(expected[i]));
    difference = fmaxf(difference, fabsf(y[i] - expected[i]));
  }
  const int same = memcmp(ids, expected_ids, sizeof ids) == 0 && difference <= 1e-5f * largest;
  printf("device %u of %u: %s\n", best, count, same ? "agrees with the reference" : "WRONG");
  library.api->destroy_instance(instance);
  moe_library_close(&library);
  return same ? 0 : 1;
}
