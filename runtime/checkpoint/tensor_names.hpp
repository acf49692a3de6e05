// The two names every tensor has: LLaVA's, which Apple's releases and this code use, and that of
// the Hugging Face port (`fast_vlm`), whose encoder is timm's fastvit_mci3.
#pragma once

#include <string>
#include <string_view>

namespace fvlm {

// The Hugging Face port's name for the tensor that LLaVA's layout calls `llava_name`. The encoder
// must have FastViTHD's five stages, the last two with attention. "head.proj" has no counterpart
// there: its translation names a tensor that no file holds.
std::string hugging_face_name(std::string_view llava_name);

}  // namespace fvlm
