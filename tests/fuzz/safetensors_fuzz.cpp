#include <vector>

#include "fvlm/error.hpp"
#include "runtime/checkpoint/safetensors.hpp"
#include "tests/fuzz/fuzz_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fvlm::FuzzFile input(data, size);
  try {
    const auto file = fvlm::SafetensorsFile::open(input.path());
    for (const fvlm::TensorView& tensor : file.tensors()) {
      file.quantised(tensor);
      std::vector<float> values(static_cast<std::size_t>(tensor.elements()));
      fvlm::copy_as_float(tensor, values);
      file.check_sum(tensor);
    }
  } catch (const fvlm::Error&) {
  }
  return 0;
}
