// The demo model, at a temperature at which it writes anything, under each schema of
// tests/data/schemas.json: every answer that ends by itself is JSON and, by an independent
// validator where Python has one, valid for the schema. FVLM_SEEDS: answers to each [5].
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <list>
#include <nlohmann/json.hpp>
#include <string>

#include "fvlm/engine.hpp"
#include "tests/runtime/engine/fixture.hpp"
#include "tests/runtime/grammar/validation.hpp"

namespace fvlm {
namespace {

TEST(SchemaAnswers, OfTheDemoModelAreValid) {
  const char* wanted = std::getenv("FVLM_SEEDS");
  const std::uint64_t seeds = wanted != nullptr ? std::stoul(wanted) : 5;
  EngineOptions options;
  options.model_path = std::filesystem::path(FVLM_SOURCE) / "tools/demo/model";
  options.device = Device::kCpu;
  options.cache_tokens = 1 << 16;
  options.max_waiting = 1 << 16;
  const auto engine = Engine::load(options);
  struct Asked {
    SchemaEntry entry;
    Grammar grammar;
    Listener listener{};
  };
  std::list<Asked> all;
  for (const SchemaEntry& entry : schema_entries()) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      Asked& one = all.emplace_back(entry, Grammar::json_schema(entry.schema));
      Request request = ask("Describe the image.", {}, 300);
      request.sampling.temperature = 1.5;
      request.sampling.top_k = 0;
      request.sampling.seed = seed;
      request.grammar = one.grammar;
      engine->submit(one.listener.attach(std::move(request)));
    }
  }
  Validation validation;
  for (Asked& one : all) {
    const Result result = one.listener.result();
    ASSERT_TRUE(result.outcome == Outcome::kStop || result.outcome == Outcome::kLength)
        << one.entry.name << ": " << result.error;
    if (result.outcome == Outcome::kLength) continue;
    EXPECT_TRUE(one.grammar.matches(result.text)) << one.entry.name << ": " << result.text;
    validation.add(one.entry, result.text);
  }
  EXPECT_GT(validation.count(), all.size() / 2);
  validation.check();
}

}  // namespace
}  // namespace fvlm
