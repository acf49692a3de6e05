#include "kernels/cpu/instruction_set.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/support/make_error.hpp"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace fvlm {
namespace {

InstructionSet of_the_processor() {
#ifdef __x86_64__
  if (!__builtin_cpu_supports("sse4.1")) return InstructionSet::kBaseline;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return InstructionSet::kSse4;
  }
  for (const bool has : {__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bw"),
                         __builtin_cpu_supports("avx512dq"), __builtin_cpu_supports("avx512vl")}) {
    if (!has) return InstructionSet::kAvx2;
  }
  if (!__builtin_cpu_supports("avx512bf16")) return InstructionSet::kAvx512;
  unsigned a = 0, b = 0, c = 0, d = 0;
  __get_cpuid_count(7, 0, &a, &b, &c, &d);
  constexpr unsigned kAmxBf16 = 1U << 22;
  constexpr unsigned kAmxTile = 1U << 24;
  return (d & kAmxBf16) != 0 && (d & kAmxTile) != 0 ? InstructionSet::kAmx
                                                    : InstructionSet::kAvx512Bf16;
#else
  return InstructionSet::kBaseline;
#endif
}

struct Name {
  std::string_view name;
  InstructionSet set;
};
constexpr Name kNames[] = {{"SSE4", InstructionSet::kSse4},
                           {"AVX2", InstructionSet::kAvx2},
                           {"AVX512", InstructionSet::kAvx512},
                           {"AVX512_BF16", InstructionSet::kAvx512Bf16},
                           {"AMX", InstructionSet::kAmx}};
constexpr Name kNamesOfOneDnn[] = {{"SSE41", InstructionSet::kSse4},
                                   {"AVX2", InstructionSet::kAvx2},
                                   {"AVX512_CORE", InstructionSet::kAvx512},
                                   {"AVX512_CORE_VNNI", InstructionSet::kAvx512},
                                   {"AVX512_CORE_BF16", InstructionSet::kAvx512Bf16}};

std::optional<InstructionSet> find(std::span<const Name> names, std::string_view wanted) {
  for (const auto& [name, set] : names) {
    if (name == wanted) return set;
  }
  return {};
}

InstructionSet highest_wanted() {
  if (const char* const wanted = std::getenv("FASTVLM_MAX_ISA"); wanted != nullptr) {
    if (const auto set = find(kNames, wanted)) return *set;
    throw make_error("FASTVLM_MAX_ISA is '{}': one of SSE4, AVX2, AVX512, AVX512_BF16, AMX",
                     wanted);
  }
  const char* const wanted = std::getenv("ONEDNN_MAX_CPU_ISA");
  return find(kNamesOfOneDnn, wanted == nullptr ? "" : wanted).value_or(InstructionSet::kAmx);
}

}  // namespace

InstructionSet instruction_set() {
  static const InstructionSet used = std::min(of_the_processor(), highest_wanted());
  return used;
}

}  // namespace fvlm
