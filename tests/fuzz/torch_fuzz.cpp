// Zip archives, the pickle in them and the older format: whatever opens must be readable.
#include <vector>

#include "fvlm/error.hpp"
#include "runtime/checkpoint/torch_file.hpp"
#include "tests/fuzz/fuzz_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fvlm::FuzzFile input(data, size);
  try {
    const fvlm::TorchFile file(input.path());
    for (const fvlm::TensorView& tensor : file.tensors()) {
      file.check_sum(tensor);
      std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
      fvlm::copy_as_float(tensor, values);
    }
  } catch (const fvlm::Error&) {
  }
  return 0;
}
