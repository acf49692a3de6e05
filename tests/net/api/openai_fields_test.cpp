// Each field of a chat completion is honoured, or has no effect, or is refused by its name.
#include <set>
#include <string>
#include <vector>

#include "tests/net/api/api_fixture.hpp"

namespace fvlm {
namespace {

// The parameters of OpenAI's reference for "Create chat completion", with a value that an official
// client may send, and whether it is taken.
struct Parameter {
  const char* name;
  ordered_json value;
  bool taken;
};

std::vector<Parameter> parameters() {
  const ordered_json tool = {{"type", "function"}, {"function", {{"name", "f"}}}};
  return {
      {"audio", {{"voice", "alloy"}, {"format", "wav"}}, false},
      {"frequency_penalty", 0.5, true},
      {"function_call", "auto", true},
      {"function_call", {{"name", "f"}}, false},
      {"functions", ordered_json::array({{{"name", "f"}}}), false},
      {"logit_bias", {{"50", -100}}, true},
      {"logprobs", true, true},
      {"max_completion_tokens", 9, true},
      {"max_tokens", 9, true},
      {"metadata", {{"a", "b"}}, true},
      {"modalities", {"text"}, true},
      {"modalities", {"text", "audio"}, false},
      {"model", "any", true},
      {"n", 3, true},
      {"parallel_tool_calls", true, true},
      {"prediction", {{"type", "content"}, {"content", "a"}}, true},
      {"presence_penalty", -0.5, true},
      {"prompt_cache_key", "k", true},
      {"moderation", {{"model", "m"}}, false},
      {"prompt_cache_options", {{"mode", "auto"}}, true},
      {"prompt_cache_retention", "24h", true},
      {"reasoning_effort", "none", true},
      {"reasoning_effort", "high", false},
      {"response_format", {{"type", "text"}}, true},
      {"response_format", {{"type", "json_object"}}, true},
      {"safety_identifier", "s", true},
      {"seed", -7, true},
      {"service_tier", "auto", true},
      {"service_tier", "priority", false},
      {"stop", {"a", "b"}, true},
      {"store", true, true},
      {"stream", true, true},
      {"temperature", 1.5, true},
      {"tool_choice", "none", true},
      {"tools", ordered_json::array({tool}), true},
      {"tools", ordered_json::array(), true},
      {"top_p", 0.5, true},
      {"user", "u", true},
      {"verbosity", "medium", true},
      {"verbosity", "low", false},
      {"web_search_options", ordered_json::object(), false},
      // vLLM's, in the official client's extra_body
      {"top_k", 5, true},
      {"min_p", 0.1, true},
      {"repetition_penalty", 1.2, true},
      {"best_of", 1, true},
      {"best_of", 2, false},
      {"use_beam_search", true, false},
      {"length_penalty", 1, true},
      {"length_penalty", 0.5, false},
      {"min_tokens", 0, true},
      {"min_tokens", 3, false},
      {"ignore_eos", true, false},
      {"stop_token_ids", ordered_json::array(), true},
      {"stop_token_ids", {5}, false},
      {"bad_words", {"a"}, false},
      {"allowed_token_ids", {5}, false},
      {"prompt_logprobs", 1, false},
      {"include_stop_str_in_output", true, false},
      {"skip_special_tokens", true, true},
      {"skip_special_tokens", false, false},
      {"guided_json", ordered_json::object(), true},
      {"guided_regex", "a", true},
      {"guided_choice", {"a"}, true},
      {"guided_grammar", "a", false},
      {"structured_outputs", {{"regex", "a"}}, true},
      {"chat_template", "{{ messages }}", false},
      {"chat_template_kwargs", {{"enable_thinking", false}}, false},
      {"chat_template_kwargs", ordered_json::object(), true},
      {"priority", 1, false},
      {"request_id", "r", true},
      {"echo", true, false},
      {"truncate_prompt_tokens", 5, false},
  };
}

TEST(OpenAiFields, EachIsTakenOrRefusedByItsName) {
  for (const Parameter& one : parameters()) {
    ordered_json body = hi();
    body[one.name] = one.value;
    if (one.taken) {
      EXPECT_EQ(refused(body), "") << one.name << " = " << one.value;
    } else {
      EXPECT_TRUE(refused(body).starts_with(std::string(one.name) + ": ")) << refused(body);
      EXPECT_TRUE(refused(body).ends_with(" [unsupported_parameter]")) << refused(body);
    }
    // Null asks for nothing.
    body[one.name] = nullptr;
    EXPECT_EQ(refused(body), "") << one.name;
  }
}

TEST(OpenAiFields, WhatIsNotKnownIsRefused) {
  EXPECT_EQ(refused(hi({{"frobnicate", 1}})),
            "frobnicate: \"frobnicate\" is not known here [unknown_parameter]");
  EXPECT_EQ(refused(hi({{"Temperature", 1}})),
            "Temperature: \"Temperature\" is not known here [unknown_parameter]");
  EXPECT_EQ(refused(hi({{std::string(5000, 'x'), 1}})).size() < 300, true);
  EXPECT_EQ(refused(hi({{"stream", true}, {"stream_options", {{"foo", 1}}}})),
            "stream_options.foo: \"foo\" is not known here [unknown_parameter]");
}

TEST(OpenAiFields, SayWhatElseIsTaken) {
  EXPECT_EQ(refused(hi({{"min_tokens", 3}})),
            "min_tokens: \"min_tokens\" is not supported here, except 0 [unsupported_parameter]");
  EXPECT_EQ(refused(hi({{"function_call", "f"}})),
            "function_call: \"function_call\" is not supported here, except \"none\" or \"auto\": "
            "\"tool_choice\" is its newer name [unsupported_parameter]");
  EXPECT_EQ(refused(hi({{"best_of", 2}})),
            "best_of: \"best_of\" is not supported here, except 1: \"n\" asks for several answers "
            "[unsupported_parameter]");
}

TEST(OpenAiFields, SetTheSampling) {
  const net::ChatRequest request = accepted(hi({{"temperature", 1.5},
                                                {"top_p", 0.9},
                                                {"top_k", 7},
                                                {"min_p", 0.05},
                                                {"repetition_penalty", 1.1},
                                                {"frequency_penalty", 0.25},
                                                {"presence_penalty", -0.75},
                                                {"logit_bias", {{"5", -100}, {"17", 2.5}}},
                                                {"logprobs", true},
                                                {"top_logprobs", 4},
                                                {"n", 8},
                                                {"seed", 11},
                                                {"stop", "END"},
                                                {"max_tokens", 7}}));
  const Sampling& sampling = request.sampling;
  EXPECT_EQ(sampling.temperature, 1.5);
  EXPECT_EQ(sampling.top_p, 0.9);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.min_p, 0.05);
  EXPECT_EQ(sampling.repetition_penalty, 1.1);
  EXPECT_EQ(sampling.frequency_penalty, 0.25);
  EXPECT_EQ(sampling.presence_penalty, -0.75);
  ASSERT_EQ(sampling.logit_bias.size(), 2U);
  EXPECT_EQ(sampling.logit_bias[0].token, 5);
  EXPECT_EQ(sampling.logit_bias[0].bias, -100);
  EXPECT_EQ(sampling.logit_bias[1].token, 17);
  EXPECT_EQ(sampling.logit_bias[1].bias, 2.5);
  EXPECT_EQ(sampling.logprobs, 4);
  EXPECT_EQ(sampling.seed, 11U);
  EXPECT_EQ(sampling.max_new_tokens, 7);
  EXPECT_EQ(request.answers, 8);
  EXPECT_EQ(request.stop, std::vector<std::string>{"END"});
}

TEST(OpenAiFields, WithoutThemIsTheCommandLines) {
  const net::ChatRequest request = accepted(hi());
  EXPECT_EQ(request.sampling.temperature, Sampling{}.temperature);
  EXPECT_EQ(request.sampling.top_k, 0) << "OpenAI has none";
  EXPECT_EQ(request.sampling.max_new_tokens, kTestLimits.max_new_tokens);
  EXPECT_EQ(request.sampling.seed, std::nullopt);
  EXPECT_EQ(request.sampling.logprobs, std::nullopt);
  EXPECT_EQ(request.model, "");
  EXPECT_EQ(request.answers, 1);
  EXPECT_EQ(accepted(hi({{"top_k", -1}})).sampling.top_k, 0);
  EXPECT_EQ(accepted(hi({{"logprobs", true}})).sampling.logprobs, 0);
  EXPECT_EQ(accepted(hi({{"logprobs", false}, {"top_logprobs", 0}})).sampling.logprobs,
            std::nullopt);
}

TEST(OpenAiFields, AsManyBiasesAsOpenAiTakes) {
  ordered_json biases;
  for (int token = 0; token < 300; ++token) biases[std::to_string(token)] = 1;
  EXPECT_EQ(accepted(hi({{"logit_bias", biases}})).sampling.logit_bias.size(), 300U);
}

TEST(OpenAiFields, ASeedIsAnyWholeNumberOf64Bits) {
  EXPECT_EQ(accepted(hi({{"seed", -1}})).sampling.seed, 0xffffffffffffffffU);
  EXPECT_EQ(accepted(hi({{"seed", 0xffffffffffffffffU}})).sampling.seed, 0xffffffffffffffffU);
  EXPECT_EQ(refused(hi({{"seed", 1.5}})), "seed: \"seed\" must be a whole number of 64 bits");
}

TEST(OpenAiFields, TheNewerNameOfTheMostTokensWins) {
  const auto most = [](const ordered_json& change) {
    return accepted(hi(change)).sampling.max_new_tokens;
  };
  EXPECT_EQ(most({{"max_tokens", 5}, {"max_completion_tokens", 6}}), 6);
  EXPECT_EQ(most({{"max_completion_tokens", 6}, {"max_tokens", 5}}), 6);
  EXPECT_EQ(most({{"max_tokens", 1900}}), 1900);
  EXPECT_EQ(refused(hi({{"max_tokens", 1901}})),
            "max_tokens: \"max_tokens\" is 1901, an answer of this server has at most 1900 tokens, "
            "which its flag --max_new_tokens says");
  EXPECT_TRUE(
      refused(hi({{"max_completion_tokens", 5000}})).starts_with("max_completion_tokens: "));
}

TEST(OpenAiFields, WrongValuesAreNamed) {
  const auto expect = [](const ordered_json& change, const std::string& message) {
    EXPECT_EQ(refused(hi(change)), message);
  };
  expect({{"temperature", "hot"}}, "temperature: \"temperature\" must be a number");
  expect({{"temperature", -1}}, "temperature: temperature is -1, it must be 0 or more");
  expect({{"top_p", 0}}, "top_p: top_p is 0, it must be above 0 and at most 1");
  expect({{"top_k", -2}},
         "top_k: \"top_k\" is -2, it must be a number of tokens, or 0 or -1 for all of them");
  expect({{"top_k", 1.5}}, "top_k: \"top_k\" must be a whole number");
  expect({{"min_p", 2}}, "min_p: min_p is 2, it must be from 0 to 1");
  expect({{"repetition_penalty", 0}},
         "repetition_penalty: repetition_penalty is 0, it must be above 0");
  expect({{"frequency_penalty", 3}},
         "frequency_penalty: frequency_penalty is 3, it must be from -2 to 2");
  expect({{"presence_penalty", true}}, "presence_penalty: \"presence_penalty\" must be a number");
  const std::string biases =
      "logit_bias: \"logit_bias\" must be an object of token ids and numbers";
  expect({{"logit_bias", 5}}, biases);
  expect({{"logit_bias", {{"hello", 5}}}}, biases);
  expect({{"logit_bias", {{"5 ", 5}}}}, biases);
  expect({{"logit_bias", {{"99999999999", 5}}}}, biases);
  expect({{"logit_bias", {{"5", "high"}}}}, biases);
  expect({{"logit_bias", {{"5", 101}}}},
         "logit_bias: logit_bias of token 5 is 101, it must be from -100 to 100");
  expect({{"logit_bias", {{"999", 1}, {"1000", 1}}}},
         "logit_bias: \"logit_bias\" names token 1000, the model has 1000 tokens");
  expect({{"logit_bias", {{"-5", 1}}}}, "logit_bias: logit_bias names token -5, ids begin at 0");
  expect({{"logprobs", 5}}, "logprobs: \"logprobs\" must be true or false");
  expect({{"logprobs", true}, {"top_logprobs", 21}},
         "top_logprobs: \"top_logprobs\" is 21, it must be from 0 to 20");
  expect({{"top_logprobs", 2}},
         "top_logprobs: \"top_logprobs\" must stand beside \"logprobs\": true");
  expect({{"n", 0}}, "n: \"n\" is 0, it must be from 1 to 8");
  expect({{"n", 9}}, "n: \"n\" is 9, it must be from 1 to 8");
  expect({{"n", 9'300'000'000'000'000'000U}}, "n: \"n\" must be a whole number");
  const std::string stop = "stop: \"stop\" must be a text, or up to 64, none of them empty";
  expect({{"stop", ""}}, stop);
  expect({{"stop", std::vector<std::string>(65, "a")}}, stop);
  expect({{"max_tokens", 0}}, "max_tokens: \"max_tokens\" must be a whole number above 0");
  expect({{"stream", "yes"}}, "stream: \"stream\" must be true or false");
  expect({{"stream_options", {{"include_usage", true}}}},
         "stream_options: \"stream_options\" must be an object, beside \"stream\": true");
  expect({{"model", 7}}, "model: \"model\" must be a text");
}

}  // namespace
}  // namespace fvlm
