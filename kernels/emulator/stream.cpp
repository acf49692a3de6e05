// Memory, streams, events and graphs in the emulator.
#include "kernels/cuda/primitives/stream.hpp"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "fvlm/error.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/emulator/device.hpp"
#include "kernels/emulator/queue.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

constexpr Target kEmulated = Target::kEmulated;
constexpr std::size_t kAlignment = 256;

}  // namespace

template <>
void* DeviceMemory<kEmulated>::allocate(std::size_t bytes) {
  void* p = nullptr;
  if (::posix_memalign(&p, kAlignment, bytes) != 0) {
    throw make_error("emulated device memory: {} bytes could not be allocated", bytes);
  }
  return std::memset(p, 0xFF, bytes);
}
template <>
void DeviceMemory<kEmulated>::release(void* p) noexcept {
  std::free(p);
}
template <>
void* PinnedMemory<kEmulated>::allocate(std::size_t bytes) {
  return DeviceMemory<kEmulated>::allocate(bytes);
}
template <>
void PinnedMemory<kEmulated>::release(void* p) noexcept {
  std::free(p);
}

template <>
int device_count<kEmulated>() {
  return 1;
}

template <>
std::string device_name<kEmulated>(int) {
  return fmt::format("emulated device, {}", emulator::current_device.load()->name);
}
template <>
void use_device<kEmulated>(int) {}

// A small device, so that loops over what does not fit at once run more than once.
template <>
DeviceProperties device_properties<kEmulated>() {
  const emulator::Device& device = *emulator::current_device;
  return {.name = device_name<kEmulated>(0),
          .major = device.major,
          .minor = device.minor,
          .multiprocessors = 4,
          .shared_bytes = device.shared_bytes,
          .cache_bytes = std::size_t{4} << 20,
          .total_bytes = std::size_t{8} << 30,
          .free_bytes = std::size_t{8} << 30};
}

template <>
Stream<kEmulated>::Stream() : handle_(new emulator::Queue) {}
template <>
Stream<kEmulated>::~Stream() {
  delete handle_;
}
template <>
void Stream<kEmulated>::copy_on_device(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  handle_->submit([=] { std::memcpy(to, from, bytes); });
}
template <>
void Stream<kEmulated>::copy_to_device(void* to, const void* from, std::size_t bytes) {
  copy_on_device(to, from, bytes);
}
template <>
void Stream<kEmulated>::copy_to_host(void* to, const void* from, std::size_t bytes) {
  copy_on_device(to, from, bytes);
}
template <>
void Stream<kEmulated>::fill(void* to, unsigned char byte, std::size_t bytes) {
  if (bytes == 0) return;
  handle_->submit([=] { std::memset(to, byte, bytes); });
}
template <>
void Stream<kEmulated>::record(Event<kEmulated>& event) {
  event.handle_->recording = handle_->records() ? handle_->recording : nullptr;
  event.handle_->time = std::chrono::steady_clock::now();
}
template <>
void Stream<kEmulated>::wait(const Event<kEmulated>& event) {
  const auto& recording = event.handle_->recording;
  if (recording && recording->open) handle_->recording = recording;
}
// Not at first, so that what goes on meanwhile on a device does so here, too.
template <>
bool Stream<kEmulated>::idle() const {
  return std::exchange(handle_->asked, true);
}
template <>
void Stream<kEmulated>::synchronize() {
  if (handle_->records()) throw Error("synchronize() while the stream is captured");
}
template <>
void Stream<kEmulated>::begin_capture() {
  handle_->recording = std::make_shared<emulator::Recording>();
}
template <>
void Stream<kEmulated>::drop_capture() noexcept {
  handle_->recording->open = false;
  handle_->recording = nullptr;
}
template <>
Graph<kEmulated>::Handle Stream<kEmulated>::end_capture() {
  auto* const recorded = new emulator::Recording{.work = std::move(handle_->recording->work)};
  drop_capture();
  return recorded;
}

template <>
Event<kEmulated>::Event() : handle_(new emulator::Mark) {}
template <>
Event<kEmulated>::~Event() {
  delete handle_;
}
template <>
void Event<kEmulated>::synchronize() {}
template <>
float Event<kEmulated>::since(const Event& earlier) const {
  return std::chrono::duration<float, std::milli>(handle_->time - earlier.handle_->time).count();
}

template <>
void Graph<kEmulated>::launch(Stream<kEmulated>& stream) const {
  for (const auto& work : handle_->work) stream.handle()->submit(work);
}
template <>
void Graph<kEmulated>::release() noexcept {
  delete handle_;
}

}  // namespace fvlm
