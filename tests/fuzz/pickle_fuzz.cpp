#include "fvlm/error.hpp"
#include "runtime/checkpoint/pickle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    fvlm::Pickle::read(std::as_bytes(std::span(data, size)), "input");
  } catch (const fvlm::Error&) {
  }
  return 0;
}
