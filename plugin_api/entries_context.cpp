// SPDX-License-Identifier: MIT
//
// Entries for contexts: a call's views are read here and checked against the layer before anything is encoded.
#include "plugin_api/entries.h"

namespace moevk {

Status check_workspace_range(const Buffer& workspace, const Device* device, uint64_t offset, uint64_t bytes) {
  if (workspace.device() != device) return invalid("desc.workspace", "belongs to another device");
  if (offset % 256 != 0) return invalid("desc.workspace_offset_bytes", "is no multiple of 256");
  const uint64_t size = workspace.bytes();
  if (offset > size || bytes > size - offset) {
    return invalid("desc.workspace_bytes", "the range is beyond the buffer's " + std::to_string(size));
  }
  return {};
}

moe_status MOE_CALL create_context(moe_device* device, const moe_context_desc* desc, moe_context** out,
                                   moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_out(out, "out"));
    *out = nullptr;
    MOE_RETURN_IF_ERROR(check_handle(device, "device"));
    moe_context_desc d;
    MOE_RETURN_IF_ERROR(read_struct(desc, "desc", &d));
    if (d.reserved != 0) return invalid("desc.reserved", "is not 0");
    if (d.max_tokens == 0 || d.max_tokens > kMostTokens)
      return invalid("desc.max_tokens", "must be within 1.." + std::to_string(kMostTokens));
    if (d.flushes_in_flight > 64) return invalid("desc.flushes_in_flight", "is above 64");
    ContextDesc c;
    c.max_tokens = d.max_tokens;
    c.flushes_in_flight = d.flushes_in_flight != 0 ? d.flushes_in_flight : 2;
    if (d.workspace != nullptr) {
      MOE_RETURN_IF_ERROR(check_handle(d.workspace, "desc.workspace"));
      c.workspace = d.workspace->object;
      MOE_RETURN_IF_ERROR(
          check_workspace_range(*c.workspace, device->object.get(), d.workspace_offset_bytes, d.workspace_bytes));
      c.workspace_offset = d.workspace_offset_bytes;
      c.workspace_bytes = d.workspace_bytes;
    } else if (d.workspace_bytes != 0 || d.workspace_offset_bytes != 0) {
      return invalid("desc.workspace", "is NULL, but a range of it is given");
    }
    MOE_ASSIGN_OR_RETURN(std::shared_ptr<Context> context, device->object->create_context(c));
    *out = new_handle<moe_context>(device->state, std::move(context));
    return {};
  });
}

static Status read_view(const moe_view* in, ViewId id, Call* call) {
  if (in == nullptr) return {};
  const std::string path = std::string("args.") + view_name(id);
  moe_view v;
  MOE_RETURN_IF_ERROR(read_struct(in, path.c_str(), &v));
  if (v.dtype > MOE_DTYPE_I32) return invalid(path + ".dtype", "is no MOE_DTYPE_* value");
  if (v.reserved != 0) return invalid(path + ".reserved", "is not 0");
  if (v.columns > (1u << 30))
    return invalid(path + ".columns", "is " + std::to_string(v.columns) + " columns, a size above any layer's");
  View& view = call->view(id);
  view.present = true;
  view.dtype = v.dtype;
  view.rows = v.rows;
  view.columns = v.columns;
  view.stride_bytes = v.row_stride_bytes != 0 ? v.row_stride_bytes : view.row_bytes();
  view.host = static_cast<std::byte*>(v.host);
  view.offset_bytes = v.offset_bytes;
  if (v.buffer != nullptr) {
    MOE_RETURN_IF_ERROR(check_handle(v.buffer, (path + ".buffer").c_str()));
    view.buffer = v.buffer->object;
  } else if (v.offset_bytes != 0) {
    return invalid(path + ".offset_bytes", "is set, but there is no buffer");
  }
  return {};
}

Result<Call> read_call(Stage stage, moe_layer* layer, const moe_call_args* args, const Device* device,
                       uint64_t max_tokens) {
  moe_call_args a;
  MOE_RETURN_IF_ERROR(read_struct(args, "args", &a));
  if (a.reserved != 0) return invalid("args.reserved", "is not 0");
  if (a.tokens > max_tokens) {  // before shapes are multiplied out
    return invalid("args.tokens",
                   "is " + std::to_string(a.tokens) + "; at most " + std::to_string(max_tokens) + " can be given here");
  }
  if (!(a.beta - a.beta == 0)) return invalid("args.beta", "is not finite");
  Call call;
  call.stage = stage;
  call.layer = layer->object;
  call.tokens = a.tokens;
  call.beta = a.beta;
  const std::pair<const moe_view*, ViewId> views[kViewCount] = {{a.x, ViewId::kX},
                                                                {a.residual, ViewId::kResidual},
                                                                {a.y, ViewId::kY},
                                                                {a.logits_in, ViewId::kLogitsIn},
                                                                {a.scores_in, ViewId::kScoresIn},
                                                                {a.weights_in, ViewId::kWeightsIn},
                                                                {a.ids_in, ViewId::kIdsIn},
                                                                {a.ids, ViewId::kIds},
                                                                {a.weights, ViewId::kWeights},
                                                                {a.logits, ViewId::kLogits},
                                                                {a.scores, ViewId::kScores},
                                                                {a.counts, ViewId::kCounts},
                                                                {a.order, ViewId::kOrder},
                                                                {a.offsets, ViewId::kOffsets},
                                                                {a.expert_out, ViewId::kExpertOut},
                                                                {a.router_x, ViewId::kRouterX},
                                                                {a.token_ids, ViewId::kTokenIds}};
  for (const auto& [view, id] : views) MOE_RETURN_IF_ERROR(read_view(view, id, &call));
  MOE_RETURN_IF_ERROR(check_call(call, device, max_tokens));
  return call;
}

static moe_status encode(Stage stage, moe_context* context, moe_layer* layer, const moe_call_args* args,
                         moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    MOE_RETURN_IF_ERROR(check_handle(layer, "layer"));
    Context& c = *context->object;
    MOE_ASSIGN_OR_RETURN(const Call call, read_call(stage, layer, args, c.device(), c.max_tokens()));
    return c.encode(call);
  });
}

moe_status MOE_CALL forward(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return encode(Stage::kForward, c, l, a, e);
}
moe_status MOE_CALL route(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return encode(Stage::kRoute, c, l, a, e);
}
moe_status MOE_CALL plan_dispatch(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return encode(Stage::kPlanDispatch, c, l, a, e);
}
moe_status MOE_CALL experts(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return encode(Stage::kExperts, c, l, a, e);
}
moe_status MOE_CALL combine(moe_context* c, moe_layer* l, const moe_call_args* a, moe_error* e) {
  return encode(Stage::kCombine, c, l, a, e);
}

moe_status MOE_CALL flush(moe_context* context, uint64_t* value, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    MOE_RETURN_IF_ERROR(check_out(value, "value"));
    MOE_ASSIGN_OR_RETURN(*value, context->object->flush(nullptr));
    return {};
  });
}

moe_status MOE_CALL wait(moe_context* context, uint64_t value, uint64_t timeout_ns, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    return context->object->wait(value, timeout_ns);
  });
}

moe_status MOE_CALL get_completed(moe_context* context, uint64_t* value, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    MOE_RETURN_IF_ERROR(check_out(value, "value"));
    MOE_ASSIGN_OR_RETURN(*value, context->object->completed());
    return {};
  });
}

moe_status MOE_CALL abort_encoded(moe_context* context, moe_error* error) {
  return guarded(error, [&]() -> Status {
    MOE_RETURN_IF_ERROR(check_handle(context, "context"));
    return context->object->abort();
  });
}

}  // namespace moevk
