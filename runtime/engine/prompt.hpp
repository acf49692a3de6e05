// From a conversation to the decoder's input: the chat template qwen_2, with placeholders for
// images. Only the template writes control tokens: "<|im_end|>" in a turn is plain text, so a
// prompt cannot end its turn or speak for another role (prompt injection by special tokens).
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "fvlm/engine.hpp"
#include "runtime/tokenizer/tokenizer.hpp"

namespace fvlm {

// Stands for all positions of one image among token ids (LLaVA's IMAGE_TOKEN_INDEX).
inline constexpr std::int32_t kImageToken = -200;

// Token ids, with kImageToken once for each image. A last turn of the assistant is left open, to be
// continued; after any other one of the assistant begins. Throws Error if no turn is the user's, if
// another's turn has images, if images and their places do not match, or as soon as the ids
// are far too many for `context_tokens`.
std::vector<std::int32_t> make_prompt(const Tokenizer& tokenizer,
                                      const std::vector<Turn>& conversation,
                                      std::int64_t context_tokens);

// The ids of a prompt without a template, each below `vocabulary`. Throws Error if it is empty, an
// id is not, or as soon as the ids are far too many for `context_tokens`.
std::vector<std::int32_t> make_prompt(const Tokenizer& tokenizer, const RawPrompt& raw,
                                      std::int64_t context_tokens, std::int64_t vocabulary);

}  // namespace fvlm
