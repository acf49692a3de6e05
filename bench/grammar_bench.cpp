// What grammars cost: compiling, and the masks of each step, against a decode step of a model.
//   grammar_bench MODEL [DEVICE]
// A random model will do (`fastvlm make-checkpoint --size 0.5b`), with Qwen2's tokenizer beside it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "fvlm/grammar.hpp"
#include "runtime/grammar/token_masks.hpp"
#include "runtime/tokenizer/tokenizer.hpp"

namespace fvlm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kTokens = 64;
constexpr int kAnswers = 4;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Case {
  std::string_view name;
  Grammar (*make)();
};

const Case kCases[] = {
    {"any JSON object", [] { return Grammar::json_object(); }},
    {"detections",
     [] {
       return Grammar::json_schema(R"({"type": "object", "properties": {"objects": {"type": "array",
           "minItems": 6, "items": {"type": "object", "properties": {
             "label": {"enum": ["person", "car", "dog"]}, "note": {"type": "string"},
             "box": {"type": "array", "minItems": 4, "maxItems": 4,
                     "items": {"type": "integer", "minimum": 0, "maximum": 1023}},
             "confidence": {"type": "number", "minimum": 0, "maximum": 1}},
           "required": ["label", "note", "box", "confidence"]}}}, "required": ["objects"]})");
     }},
    {"a text of 200 to 400 characters",
     [] {
       return Grammar::json_schema(R"({"type": "string", "minLength": 200, "maxLength": 400})");
     }},
    {"words by a pattern", [] { return Grammar::regex("([A-Z][a-z]{1,12}, ){20,60}end"); }}};

// The seconds of finding masks for the tokens of an answer, in `masks` that may know some already.
double mask_seconds(TokenMasks& masks, const std::vector<std::int32_t>& tokens) {
  const auto start = Clock::now();
  TokenMasks::StateId state = masks.start();
  masks.mask(state);
  for (const std::int32_t token : tokens) {
    state = masks.advance(state, token);
    masks.mask(state);
  }
  return seconds_since(start);
}

Result answer(Engine& engine, const Grammar* grammar, std::uint64_t seed) {
  Request request;
  request.conversation.push_back({Turn::Role::kUser, "Describe the image.", {}});
  request.sampling = {.temperature = 1.5, .top_k = 0, .max_new_tokens = kTokens, .seed = seed};
  if (grammar != nullptr) request.grammar = *grammar;
  return engine.run(std::move(request));
}

// Of one decode step, the median over answers.
double step_seconds(std::vector<Result> answers) {
  std::vector<double> steps;
  for (const Result& one : answers) {
    if (one.statistics.tokens_per_second() > 0)
      steps.push_back(1 / one.statistics.tokens_per_second());
  }
  if (steps.empty()) return 0;
  std::sort(steps.begin(), steps.end());
  return steps[steps.size() / 2];
}

void run(const std::string& folder, Device device) {
  EngineOptions options;
  options.model_path = folder;
  options.device = device;
  const auto engine = Engine::load(options);
  const Tokenizer tokenizer = Tokenizer::load(folder);
  auto start = Clock::now();
  const auto trie = std::make_shared<TokenTrie>(
      tokenizer, static_cast<std::size_t>(tokenizer.size()),
      std::vector<std::int32_t>{tokenizer.special_token("<|im_end|>").value()});
  fmt::print("{}, {}\ntrie of {} tokens: {:.1f} ms\n", engine->info().model, engine->info().device,
             tokenizer.size(), 1e3 * seconds_since(start));
  std::vector<Result> free;
  answer(*engine, nullptr, 1);
  for (std::uint64_t seed = 1; seed <= kAnswers; ++seed)
    free.push_back(answer(*engine, nullptr, seed));
  const double step = step_seconds(free);
  fmt::print("decode step without a grammar: {:.3f} ms\n\n", 1e3 * step);
  fmt::print("{:<34}{:>12}{:>12}{:>14}{:>14}{:>16}\n", "", "compile", "first mask", "first answer",
             "later answers", "decode step");
  for (const auto& [name, make] : kCases) {
    start = Clock::now();
    const Grammar grammar = make();
    const double compile = seconds_since(start);
    std::vector<Result> answers;
    for (std::uint64_t seed = 1; seed <= kAnswers; ++seed)
      answers.push_back(answer(*engine, &grammar, seed));
    TokenMasks masks(grammar.automaton(), trie);
    start = Clock::now();
    masks.mask(masks.start());
    const double first_mask = seconds_since(start);
    const auto per_step = [&](const Result& result) {
      return mask_seconds(masks, result.tokens) / static_cast<double>(result.tokens.size() + 1);
    };
    const double first = per_step(answers[0]);
    double later = 0;
    for (int i = 1; i < kAnswers; ++i)
      later += per_step(answers[static_cast<std::size_t>(i)]) / (kAnswers - 1);
    const double with = step_seconds(answers);
    fmt::print("{:<34}{:>9.2f} ms{:>9.3f} ms{:>9.1f} us/tk{:>9.1f} us/tk{:>9.3f} ms {:+.1f} %\n",
               name, 1e3 * compile, 1e3 * first_mask, 1e6 * first, 1e6 * later, 1e3 * with,
               100 * (with / step - 1));
  }
}

}  // namespace
}  // namespace fvlm

int main(int count, char** arguments) {
  if (count < 2 || count > 3) {
    fmt::print(stderr, "usage: grammar_bench MODEL [cpu|cuda]\n");
    return 2;
  }
  const std::string_view device = count > 2 ? arguments[2] : "cpu";
  try {
    fvlm::run(arguments[1], device == "cuda" ? fvlm::Device::kCuda : fvlm::Device::kCpu);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "grammar_bench: {}\n", error.what());
    return 2;
  }
}
