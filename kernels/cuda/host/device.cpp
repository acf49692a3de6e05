// Memory, streams, events and graphs of a CUDA device: the runtime's calls, each checked.
#include <cuda.h>
#include <cuda_runtime.h>

#include <cstring>

#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/cuda/primitives/stream.hpp"
#include "kernels/cuda/primitives/tensor_map.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

constexpr Target kDevice = Target::kDevice;

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // else the next call would report it again
  throw make_error("{}: {}", call, cudaGetErrorString(status));
}

template <class Allocate>
void* checked_allocate(std::size_t bytes, const char* call, Allocate&& allocate) {
  void* p = nullptr;
  const cudaError_t status = allocate(&p, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw make_error("{}: {} bytes needed, {} of the device's {} are free", call, bytes, free,
                     total);
  }
  check(status, call);
  return p;
}

int attribute(cudaDeviceAttr which) {
  int device = 0;
  int value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

void fail_launch(std::string_view kernel, const char* call, int status) {
  cudaGetLastError();
  throw make_error("{}: {}: {}", kernel, call,
                   cudaGetErrorString(static_cast<cudaError_t>(status)));
}

bool device_overlaps_kernels() {
  return attribute(cudaDevAttrComputeCapabilityMajor) >= 9;
}

template <>
void* DeviceMemory<kDevice>::allocate(std::size_t bytes) {
  return checked_allocate(bytes, "cudaMalloc",
                          [](void** p, std::size_t n) { return cudaMalloc(p, n); });
}
template <>
void DeviceMemory<kDevice>::release(void* p) noexcept {
  cudaFree(p);
}
template <>
void* PinnedMemory<kDevice>::allocate(std::size_t bytes) {
  return checked_allocate(bytes, "cudaMallocHost",
                          [](void** p, std::size_t n) { return cudaMallocHost(p, n); });
}
template <>
void PinnedMemory<kDevice>::release(void* p) noexcept {
  cudaFreeHost(p);
}

template <>
int device_count<kDevice>() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

template <>
std::string device_name<kDevice>(int device) {
  cudaDeviceProp found{};
  check(cudaGetDeviceProperties(&found, device), "cudaGetDeviceProperties");
  return found.name;
}

template <>
void use_device<kDevice>(int device) {
  // The question is cheap and allowed while a graph is captured.
  int current = -1;
  check(cudaGetDevice(&current), "cudaGetDevice");
  if (current != device) check(cudaSetDevice(device), "cudaSetDevice");
}

template <>
DeviceProperties device_properties<kDevice>() {
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  cudaDeviceProp found{};
  check(cudaGetDeviceProperties(&found, device), "cudaGetDeviceProperties");
  DeviceProperties properties{.name = found.name,
                              .major = found.major,
                              .minor = found.minor,
                              .multiprocessors = found.multiProcessorCount,
                              .shared_bytes = found.sharedMemPerBlockOptin,
                              .cache_bytes = static_cast<std::size_t>(found.l2CacheSize)};
  check(cudaDriverGetVersion(&properties.driver), "cudaDriverGetVersion");
  check(cudaMemGetInfo(&properties.free_bytes, &properties.total_bytes), "cudaMemGetInfo");
  return properties;
}

// The driver's function is looked up, so that programs start without a driver.
template <>
TensorMap tensor_map<kDevice>(View<const BFloat16> matrix, std::int64_t box_rows, int box_depth) {
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    constexpr unsigned kSince = 12000;
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, kSince,
                                           cudaEnableDefault, &found),
          "cudaGetDriverEntryPointByVersion");
    if (found != cudaDriverEntryPointSuccess) {
      throw make_error("the CUDA driver is too old: it has no cuTensorMapEncodeTiled");
    }
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(matrix.cols),
                              static_cast<cuuint64_t>(matrix.rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(matrix.stride) * sizeof(BFloat16)};
  const cuuint32_t box[] = {static_cast<cuuint32_t>(box_depth), static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[] = {1, 1};
  CUtensorMap encoded{};
  const CUresult status =
      encode(&encoded, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, const_cast<BFloat16*>(matrix.data),
             sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             box_depth == kBoxDepth ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS) {
    throw make_error("cuTensorMapEncodeTiled: error {} for a matrix [{}, {}] with stride {}",
                     static_cast<int>(status), matrix.rows, matrix.cols, matrix.stride);
  }
  TensorMap map{};
  static_assert(sizeof(encoded) == sizeof(map.bytes));
  std::memcpy(map.bytes, &encoded, sizeof(encoded));
  return map;
}

template <>
Stream<kDevice>::Stream() : handle_(nullptr) {
  check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
}
template <>
Stream<kDevice>::~Stream() {
  cudaStreamDestroy(handle_);
}
template <>
void Stream<kDevice>::copy_to_device(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, handle_), "cudaMemcpyAsync");
}
template <>
void Stream<kDevice>::copy_to_host(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, handle_), "cudaMemcpyAsync");
}
template <>
void Stream<kDevice>::copy_on_device(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, handle_), "cudaMemcpyAsync");
}
template <>
void Stream<kDevice>::fill(void* to, unsigned char byte, std::size_t bytes) {
  check(cudaMemsetAsync(to, byte, bytes, handle_), "cudaMemsetAsync");
}
template <>
void Stream<kDevice>::record(Event<kDevice>& event) {
  check(cudaEventRecord(event.handle_, handle_), "cudaEventRecord");
}
template <>
void Stream<kDevice>::wait(const Event<kDevice>& event) {
  check(cudaStreamWaitEvent(handle_, event.handle_, 0), "cudaStreamWaitEvent");
}
template <>
bool Stream<kDevice>::idle() const {
  const cudaError_t status = cudaStreamQuery(handle_);
  if (status == cudaErrorNotReady) return false;
  check(status, "cudaStreamQuery");
  return true;
}
template <>
void Stream<kDevice>::synchronize() {
  check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
}
template <>
void Stream<kDevice>::begin_capture() {
  check(cudaStreamBeginCapture(handle_, cudaStreamCaptureModeThreadLocal),
        "cudaStreamBeginCapture");
}
template <>
void Stream<kDevice>::drop_capture() noexcept {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(handle_, &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();
}
template <>
Graph<kDevice>::Handle Stream<kDevice>::end_capture() {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t runnable = nullptr;
  check(cudaStreamEndCapture(handle_, &graph), "cudaStreamEndCapture");
  const cudaError_t status = cudaGraphInstantiate(&runnable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "cudaGraphInstantiate");
  return runnable;
}

template <>
Event<kDevice>::Event() : handle_(nullptr) {
  check(cudaEventCreate(&handle_), "cudaEventCreate");
}
template <>
Event<kDevice>::~Event() {
  cudaEventDestroy(handle_);
}
template <>
void Event<kDevice>::synchronize() {
  check(cudaEventSynchronize(handle_), "cudaEventSynchronize");
}
template <>
float Event<kDevice>::since(const Event& earlier) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, earlier.handle_, handle_), "cudaEventElapsedTime");
  return milliseconds;
}

template <>
void Graph<kDevice>::launch(Stream<kDevice>& stream) const {
  check(cudaGraphLaunch(handle_, stream.handle()), "cudaGraphLaunch");
}
template <>
void Graph<kDevice>::release() noexcept {
  if (handle_ != nullptr) cudaGraphExecDestroy(handle_);
}

}  // namespace fvlm
