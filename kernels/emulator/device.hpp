// Launch limits of the emulated device. A launch that such a device would refuse, or that it would
// refuse without cudaFuncSetAttribute, is an Error here, too. Static and dynamic shared memory
// count together. See "Technical Specifications per Compute Capability" in the CUDA programming
// guide.
#pragma once

#include <atomic>
#include <cstddef>
#include <string_view>

namespace fvlm::emulator {

inline constexpr unsigned kMaxThreads = 1024;  // of a block
inline constexpr unsigned kMaxBlocksX = 0x7fffffff;
inline constexpr unsigned kMaxBlocksYZ = 0xffff;
// Shared memory of a block whose kernel has not asked for more by cudaFuncSetAttribute.
inline constexpr std::size_t kDefaultSharedBytes = std::size_t{48} << 10;

struct Device {
  std::string_view name;
  int major;  // of the compute capability
  int minor;
  std::size_t shared_bytes;  // of a block whose kernel has asked for it
};

// GPUs that the kernels are compiled for, the least of each amount of shared memory.
inline constexpr Device kSmallDevice{"compute capability 8.6", 8, 6, std::size_t{99} << 10};
inline constexpr Device kAmpereDevice{"compute capability 8.0", 8, 0, std::size_t{163} << 10};
inline constexpr Device kLargeDevice{"compute capability 9.0", 9, 0, std::size_t{227} << 10};

// The one that launches run on: the small one, so that what passes here passes everywhere.
inline std::atomic<const Device*> current_device = &kSmallDevice;

// Another device while it lives, for kernels that only some devices can run.
class OnDevice {
 public:
  explicit OnDevice(const Device& device) : before_(current_device.exchange(&device)) {}
  ~OnDevice() { current_device = before_; }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  const Device* before_;
};

}  // namespace fvlm::emulator
