// SPDX-License-Identifier: MIT
//
// In:  see onnxruntime_session.h.
// Out: see onnxruntime_session.h.
// Why: a session without any provider named runs on the CPU provider alone.
#include "tests/peers/onnxruntime_session.h"

#include <cstring>
#include <stdexcept>

#include "onnxruntime_c_api.h"
#include "tests/support/shared_library.h"

namespace moevk::peers {
namespace {

template <class T>
using Owner = std::unique_ptr<T, void(ORT_API_CALL*)(T*)>;

}  // namespace

OnnxRuntime::OnnxRuntime(const std::string& path) {
  const OrtApiBase*(ORT_API_CALL * get_base)() = moe_tests::SharedLibrary(path).find("OrtGetApiBase");
  version_ = get_base()->GetVersionString();
  api_ = get_base()->GetApi(ORT_API_VERSION);
  if (api_ == nullptr) throw std::runtime_error(path + ", version " + version_ + ", is older than its headers");
  check(api_->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "moevk", &environment_));
}

OnnxRuntime::~OnnxRuntime() {
  if (environment_ != nullptr) api_->ReleaseEnv(environment_);
}

void OnnxRuntime::check(OrtStatus* status) const {
  if (status == nullptr) return;
  const std::string text = api_->GetErrorMessage(status);
  api_->ReleaseStatus(status);
  throw std::runtime_error(text);
}

std::vector<float> OnnxRuntime::run(const OnnxNode& node, const std::vector<std::vector<float>>& inputs) const {
  OrtSessionOptions* new_options = nullptr;
  check(api_->CreateSessionOptions(&new_options));
  const Owner<OrtSessionOptions> options(new_options, api_->ReleaseSessionOptions);
  check(api_->SetIntraOpNumThreads(options.get(), 1));
  const std::string model = onnx_model(node);
  OrtSession* new_session = nullptr;
  check(api_->CreateSessionFromArray(environment_, model.data(), model.size(), options.get(), &new_session));
  const Owner<OrtSession> session(new_session, api_->ReleaseSession);
  OrtMemoryInfo* new_memory = nullptr;
  check(api_->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &new_memory));
  const Owner<OrtMemoryInfo> memory(new_memory, api_->ReleaseMemoryInfo);

  std::vector<Owner<OrtValue>> values;
  std::vector<const OrtValue*> pointers;
  std::vector<const char*> names;
  for (const OnnxTensor& input : node.inputs) {
    if (!input.is_run_time_input()) continue;
    const std::vector<float>& data = inputs.at(values.size());
    OrtValue* value = nullptr;
    // Read only: the CPU provider does not write to inputs.
    check(api_->CreateTensorWithDataAsOrtValue(memory.get(), const_cast<float*>(data.data()),
                                               data.size() * sizeof(float), input.shape.data(), input.shape.size(),
                                               ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
    values.emplace_back(value, api_->ReleaseValue);
    pointers.push_back(value);
    names.push_back(input.name.c_str());
  }
  const char* output_name = node.output.name.c_str();
  OrtValue* new_output = nullptr;
  check(
      api_->Run(session.get(), nullptr, names.data(), pointers.data(), pointers.size(), &output_name, 1, &new_output));
  const Owner<OrtValue> output(new_output, api_->ReleaseValue);
  void* data = nullptr;
  check(api_->GetTensorMutableData(output.get(), &data));
  size_t count = 1;
  for (const int64_t extent : node.output.shape) count *= static_cast<size_t>(extent);
  std::vector<float> result(count);
  std::memcpy(result.data(), data, count * sizeof(float));
  return result;
}

}  // namespace moevk::peers
