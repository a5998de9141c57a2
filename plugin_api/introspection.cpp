// SPDX-License-Identifier: MIT
//
// The extension "moe.introspection": texts and counters out of the runtime.
#include "plugin_api/handles.h"
#include "runtime/plan_text.h"

namespace moevk {
namespace {

moe_status MOE_CALL get_caps_text(moe_device* device, moe_write_fn write, void* user, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    if (write == nullptr) return invalid("write", "is NULL");
    const std::string text = caps_text(device->object->planning_caps());
    write(user, text.data(), text.size());
    return {};
  });
}

moe_status MOE_CALL get_plan_text(const char* text, const moe_layer_desc* desc, uint64_t tokens, moe_write_fn write,
                                  void* user, moe_error* error) {
  return guarded(error, [&]() -> Status {
    if (text == nullptr) return invalid("caps_text", "is NULL");
    if (write == nullptr) return invalid("write", "is NULL");
    if (tokens == 0 || tokens > kMostTokens)
      return invalid("tokens", "must be within 1.." + std::to_string(kMostTokens));
    moe_layer_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    MOE_ASSIGN_OR_RETURN(const DeviceCaps caps, caps_from_text(text));
    MOE_ASSIGN_OR_RETURN(const LayerSpec spec, make_layer_spec(d));
    MOE_ASSIGN_OR_RETURN(const std::string plan, describe_forward(spec, caps, tokens));
    write(user, plan.data(), plan.size());
    return {};
  });
}

moe_status MOE_CALL set_profiling(moe_context* context, uint32_t enabled, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    return context->object->set_profiling(enabled != 0);
  });
}

moe_status MOE_CALL get_timings(moe_context* context, moe_step_timing* out, uint32_t* count, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    MOE_RETURN_IF_ERROR(check_out(count, "count"));
    const std::vector<StepTiming>& timings = context->object->timings();
    return write_array<moe_step_timing>(timings.size(), out, count, [&](size_t i) {
      moe_step_timing timing = moe_init<moe_step_timing>();
      timing.call = timings[i].call;
      timing.dispatches = timings[i].dispatches;
      copy_text(timing.name, timings[i].name);
      timing.milliseconds = timings[i].milliseconds;
      timing.bytes = timings[i].bytes;
      timing.flops = timings[i].flops;
      return timing;
    });
  });
}

moe_status MOE_CALL get_statistics(moe_instance* instance, moe_statistics* out, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(instance, "instance"));
    const SharedState& state = *instance->state;
    moe_statistics s = moe_init<moe_statistics>();
    s.live_objects = state.live_objects;
    s.allocated_bytes = state.allocated_bytes;
    s.pipelines_created = state.pipelines_created;
    s.pipelines_from_cache = state.pipelines_from_cache;
    s.pipeline_milliseconds = static_cast<double>(state.pipeline_microseconds) / 1000.0;
    s.validation_messages = state.validation_messages;
    s.submits = state.submits;
    s.largest_binding_bytes = state.largest_binding_bytes;
    s.largest_allocation_bytes = state.largest_allocation_bytes;
    s.peak_driver_bytes = state.peak_driver_bytes;
    return write_struct(s, out, "out");
  });
}

}  // namespace

const moe_introspection* introspection_table() {
  static const moe_introspection table = [] {
    moe_introspection t = moe_init<moe_introspection>();
    t.get_caps_text = get_caps_text;
    t.get_plan_text = get_plan_text;
    t.set_profiling = set_profiling;
    t.get_timings = get_timings;
    t.get_statistics = get_statistics;
    return t;
  }();
  return &table;
}

}  // namespace moevk
