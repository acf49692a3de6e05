// One pass of a model of the real sizes on the device, for a profiler: before it all is loaded and
// the profiler is told to begin, after it to end.
//   gpu_pass SIZE FORMAT PASS    e.g. gpu_pass 0.5b bf16 encoder8
// PASS is encoderN or decodeN, with so many images or sequences, or prefill.
#include <cuda_profiler_api.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "bench/gpu_check/gpu_passes.hpp"

namespace fvlm {
namespace {

std::int64_t number_in(const std::string& pass, const std::string& name, std::int64_t most) {
  const std::string digits = pass.substr(name.size());
  const bool is_number = !digits.empty() && digits.size() < 4 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  const std::int64_t number = is_number ? std::stol(digits) : 0;
  if (number < 1 || number > most) throw make_error("{}: 1 to {} after {}", pass, most, name);
  return number;
}

int run(const std::string& size, const std::string& format, const std::string& pass) {
  GpuPasses passes(config_of(size_of_name(size)), format_of_name(format));
  const auto profiled = [&](const auto& work) {
    cudaProfilerStart();
    work();
    passes.runner().passes().encoder().synchronize();
    passes.runner().passes().decoder().synchronize();
    cudaProfilerStop();
  };
  if (pass.starts_with("encoder")) {
    const std::int64_t images = number_in(pass, "encoder", GpuPasses::kMostImages);
    profiled([&] { passes.encode(images); });
  } else if (pass == "prefill") {
    passes.encode(1);
    passes.runner().wait_until_encoded();
    profiled([&] { passes.prefill(); });
  } else if (pass.starts_with("decode")) {
    const std::int64_t sequences = number_in(pass, "decode", GpuPasses::kMostSequences);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(sequences), 1);
    profiled([&] { passes.decode(ids, 0); });
  } else {
    throw make_error("there is no pass {}: encoderN, prefill, decodeN", pass);
  }
  return 0;
}

}  // namespace
}  // namespace fvlm

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: gpu_pass SIZE FORMAT PASS\n");
    return 2;
  }
  try {
    return fvlm::run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gpu_pass: %s\n", e.what());
    return 1;
  }
}
