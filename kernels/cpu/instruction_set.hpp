// Which of the processor's instructions the CPU backend uses: all that it knows, or those up to the
// one that the environment's FASTVLM_MAX_ISA names, so that one machine tests what others run.
#pragma once

#include <cstdint>

namespace fvlm {

// Those of x86, each with all before it; other processors have the first.
enum class InstructionSet : std::uint8_t { kBaseline, kSse4, kAvx2, kAvx512, kAvx512Bf16, kAmx };

// The same at each call. Throws Error if FASTVLM_MAX_ISA is not SSE4, AVX2, AVX512, AVX512_BF16 or
// AMX. Without it, oneDNN's ONEDNN_MAX_CPU_ISA is followed, as far as it names one of these.
InstructionSet instruction_set();

}  // namespace fvlm
