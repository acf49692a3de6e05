// The CUDA backend of an installed package: names its device, or says why there is none.
#include <iostream>

#include "fvlm/error.hpp"
#include "kernels/cuda/host/cuda.hpp"

int main() try {
  using Backend = fvlm::CudaBackend<fvlm::Target::kDevice, fvlm::BFloat16>;
  const Backend backend(fvlm::WeightFormat::kBF16);
  std::cout << backend.description() << '\n';
} catch (const fvlm::Error& error) {
  std::cout << error.what() << '\n';
}
