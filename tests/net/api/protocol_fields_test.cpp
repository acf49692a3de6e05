// Each field of a completion, a response, and a request of Ollama's API is honoured, or has no
// effect, or is refused by its name.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "net/api/protocols.hpp"
#include "net/protocol/base64.hpp"

namespace fvlm {
namespace {

using nlohmann::ordered_json;

constexpr net::ChatLimits kProtocolLimits = {.max_new_tokens = 100, .vocabulary = 1000};

net::Read<net::ApiRequest> read_at(const std::string& path, const ordered_json& body) {
  return net::protocol_of(path)->read(body.dump(), kProtocolLimits);
}

net::ChatRequest accepted_at(const std::string& path, const ordered_json& body) {
  auto result = read_at(path, body);
  if (const auto* error = std::get_if<net::ApiError>(&result)) {
    ADD_FAILURE() << error->param << ": " << error->message << "\n" << body;
    return {};
  }
  return std::get<net::ApiRequest>(std::move(result)).chat;
}

// "param: message"; empty if it is accepted.
std::string refused_at(const std::string& path, const ordered_json& body) {
  const auto result = read_at(path, body);
  const auto* error = std::get_if<net::ApiError>(&result);
  return error == nullptr ? "" : error->param + ": " + error->message;
}

ordered_json smallest(const std::string& path) {
  if (path == "/v1/responses") return {{"input", "Hi"}};
  if (path == "/v1/completions" || path == "/api/generate") return {{"prompt", "Hi"}};
  return {{"messages", {{{"role", "user"}, {"content", "Hi"}}}}};
}

struct ProtocolField {
  const char* path;
  ordered_json change;
  std::string refusal = "";  // begins so; empty: it is taken
};

std::vector<ProtocolField> protocol_fields() {
  const char* text = "/v1/completions";
  const char* response = "/v1/responses";
  const char* chat = "/api/chat";
  const char* generate = "/api/generate";
  return {
      {text, {{"suffix", "x"}}, "suffix: \"suffix\" is not supported here, except \"\""},
      {text, {{"suffix", ""}}},
      {text, {{"best_of", 2}}, "best_of: "},
      {text, {{"best_of", 2}, {"n", 2}}},
      {text, {{"echo", true}, {"logprobs", 0}}, "echo: "},
      {text, {{"echo", true}, {"prompt", {1, 2}}}, "echo: "},
      {text, {{"logprobs", true}}, "logprobs: "},
      {text, {{"logprobs", 21}}, "logprobs: "},
      {text, {{"max_tokens", 101}}, "max_tokens: "},
      {text, {{"max_tokens", 0}}},
      {text, {{"max_tokens", -1}}, "max_tokens: "},
      {text, {{"stop", std::vector<std::string>(64, "a")}}},
      {text, {{"stop", std::vector<std::string>(65, "a")}}, "stop: "},
      {text, {{"top_k", -2}}, "top_k: \"top_k\" is -2, it must be a number of tokens, or 0 or -1"},
      {text, {{"prompt", ""}}, "prompt: "},
      {text, {{"prompt", {1, 1000}}}, "prompt: \"prompt\" has token 1000"},
      {text, {{"prompt", {1, -1}}}, "prompt: \"prompt\" has token -1"},
      {text, {{"prompt", {1, "a"}}}, "prompt: "},
      {text, {{"prompt", std::vector<std::string>(65, "a")}}, "prompt: at most 64"},
      {text, {{"prompt", std::vector<std::string>(20, "a")}, {"n", 8}}, "n: "},
      {text, {{"messages", 1}}, "messages: \"messages\" is not known here"},
      {text, {{"guided_choice", {"a", "b"}}}},
      {response, {{"previous_response_id", "r"}}, "previous_response_id: "},
      {response, {{"conversation", "c"}}, "conversation: "},
      {response, {{"background", true}}, "background: "},
      {response, {{"store", true}, {"metadata", {{"a", "b"}}}}},
      {response, {{"truncation", "auto"}}, "truncation: "},
      {response, {{"reasoning", {{"effort", "high"}}}}, "reasoning: "},
      {response, {{"include", {"reasoning.encrypted_content"}}}},
      {response, {{"include", {"file_search_call.results"}}}, "include: "},
      {response, {{"top_logprobs", 2}}, "top_logprobs: "},
      {response, {{"include", {"message.output_text.logprobs"}}, {"top_logprobs", 2}}},
      {response, {{"text", {{"verbosity", "low"}}}}, "text.verbosity: "},
      {response, {{"text", {{"format", {{"type", "xml"}}}}}}, "text.format.type: "},
      {response, {{"tools", {{{"type", "web_search"}}}}}, "tools[0].type: "},
      {response, {{"max_output_tokens", 101}}, "max_output_tokens: "},
      {response, {{"n", 2}}, "n: \"n\" is not known here"},
      {response, {{"input", {{{"type", "item_reference"}, {"id", "m"}}}}}, "input[0].type: "},
      {response,
       {{"input", {{{"role", "user"}, {"content", {{{"type", "input_file"}}}}}}}},
       "input[0].content[0].type: "},
      {response,
       {{"input",
         {{{"role", "user"}, {"content", {{{"type", "input_image"}, {"file_id", "f"}}}}}}}},
       "input[0].content[0].file_id: "},
      {response,
       {{"input",
         {{{"role", "user"},
           {"content", {{{"type", "input_image"}, {"image_url", "https://example.org/a.jpg"}}}}}}}},
       "input[0].content[0].image_url: this server fetches no URLs"},
      {chat, {{"think", true}}, "think: "},
      {chat, {{"think", false}, {"keep_alive", "5m"}, {"truncate", true}}},
      {chat, {{"suffix", "x"}}, "suffix: \"suffix\" is not known here"},
      {chat, {{"prompt", "x"}}, "prompt: "},
      {chat, {{"images", {"QUJD"}}}, "images: "},
      {chat, {{"format", "yaml"}}, "format: "},
      {chat, {{"format", {{"type", "string"}, {"frobnicate", 1}}}}, "format: "},
      {chat, {{"options", {{"frobnicate", 1}}}}, "options.frobnicate: "},
      {chat, {{"options", {{"num_ctx", 131072}, {"num_gpu", 99}, {"num_thread", 4}}}}},
      {chat, {{"options", {{"num_predict", -3}}}}, "num_predict: "},
      {chat, {{"options", {{"repeat_penalty", 1.1}, {"repeat_last_n", 64}}}}},
      {chat, {{"options", {{"repeat_penalty", 1.1}, {"repeat_last_n", 200}}}}},
      {chat, {{"options", {{"repeat_penalty", 1.1}, {"repeat_last_n", 16}}}}, "repeat_last_n: "},
      {chat, {{"options", {{"repeat_penalty", 1.1}, {"repeat_last_n", 16}, {"num_predict", 16}}}}},
      {chat, {{"options", {{"repeat_last_n", 16}}}}},
      {chat,
       {{"options",
         {{"num_ctx", 4096},
          {"mirostat", 0},
          {"mirostat_eta", 0.1},
          {"mirostat_tau", 5.0},
          {"num_gqa", 1},
          {"tfs_z", 1.0},
          {"typical_p", 1.0},
          {"num_predict", 0},
          {"penalize_newline", false},
          {"stop", {"1", "2", "3", "4", "5"}}}}}},
      {chat, {{"options", {{"typical_p", 0.5}}}}, "options.typical_p: "},
      {chat, {{"messages", {{{"role", "robot"}}}}}, "messages[0].role: "},
      {chat,
       {{"messages", {{{"role", "user"}, {"content", "a"}, {"thinking", "b"}}}}},
       "messages[0].thinking: "},
      {chat,
       {{"messages", {{{"role", "user"}, {"content", "a"}, {"name", "b"}}}}},
       "messages[0].name: "},
      {chat,
       {{"messages",
         {{{"role", "tool"}, {"content", "a"}, {"name", "b"}, {"tool_call_id", "1"}}}}}},
      {generate, {{"suffix", "x"}}, "suffix: "},
      {generate, {{"template", "{{ .Prompt }}"}}, "template: "},
      {generate, {{"context", {1, 2}}}, "context: "},
      {generate, {{"context", ordered_json::array()}}},
      {generate, {{"raw", true}, {"system", "x"}}, "system: "},
      {generate, {{"raw", true}, {"images", {"QUJD"}}}, "images: "},
      {generate, {{"messages", 1}}, "messages: "},
  };
}

TEST(ProtocolFields, AreTakenOrRefusedByName) {
  for (const ProtocolField& one : protocol_fields()) {
    ordered_json body = smallest(one.path);
    body.update(one.change);
    const std::string error = refused_at(one.path, body);
    if (one.refusal.empty()) {
      EXPECT_EQ(error, "") << one.path << " " << one.change;
    } else {
      EXPECT_TRUE(error.starts_with(one.refusal)) << one.path << " " << one.change << " " << error;
    }
  }
}

// Clients have a model loaded so, by its name.
TEST(ProtocolFields, OllamasRequestsForNothingNameAModel) {
  for (const char* path : {"/api/chat", "/api/generate"}) {
    EXPECT_TRUE(refused_at(path, ordered_json::object()).starts_with("model: ")) << path;
    EXPECT_EQ(refused_at(path, {{"model", "vlm"}}), "") << path;
  }
}

TEST(ProtocolFields, ToolsOfResponsesAreNamedAsTheyStandThere) {
  const auto refused = [](const ordered_json& tool) {
    return refused_at("/v1/responses", {{"input", "Hi"}, {"tools", {tool}}});
  };
  EXPECT_TRUE(refused({{"type", "function"}, {"name", "f"}, {"parameters", {{"not", true}}}})
                  .starts_with("tools[0].parameters: "));
  EXPECT_TRUE(refused({{"type", "function"}, {"name", "a b"}}).starts_with("tools[0].name: "));
}

TEST(ProtocolFields, AnythingElseIsRefusedEverywhere) {
  for (const net::Protocol& protocol : net::protocols()) {
    const std::string path(protocol.path);
    EXPECT_EQ(refused_at(path, smallest(path)), "");
    ordered_json body = smallest(path);
    body["frobnicate"] = 1;
    EXPECT_EQ(refused_at(path, body), "frobnicate: \"frobnicate\" is not known here") << path;
    for (const ordered_json& rubbish : {ordered_json("x"), ordered_json::array()}) {
      EXPECT_NE(refused_at(path, rubbish), "") << path;
    }
    for (const ordered_json& value :
         {ordered_json(7), ordered_json::object(), ordered_json(true)}) {
      body = smallest(path);
      body[protocol.prompt] = value;
      EXPECT_TRUE(refused_at(path, body).starts_with(protocol.prompt)) << path << value;
    }
  }
}

TEST(ProtocolFields, OllamasOptionsAreThoseOfSampling) {
  const net::ChatRequest request =
      accepted_at("/api/chat", {{"messages", smallest("/api/chat")["messages"]},
                                {"model", "vlm:latest"},
                                {"options",
                                 {{"temperature", 0.5},
                                  {"top_k", 40},
                                  {"top_p", 0.9},
                                  {"min_p", 0.1},
                                  {"seed", 7},
                                  {"stop", {"a", "b"}},
                                  {"repeat_penalty", 1.05},
                                  {"presence_penalty", 0.3},
                                  {"frequency_penalty", 0.2},
                                  {"num_predict", 50}}}});
  EXPECT_EQ(request.model, "vlm");
  EXPECT_EQ(request.stream, true);
  const Sampling& sampling = request.sampling;
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.top_k, 40);
  EXPECT_EQ(sampling.top_p, 0.9);
  EXPECT_EQ(sampling.min_p, 0.1);
  EXPECT_EQ(sampling.seed, 7U);
  EXPECT_EQ(request.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(sampling.repetition_penalty, 1.05);
  EXPECT_EQ(sampling.presence_penalty, 0.3);
  EXPECT_EQ(sampling.frequency_penalty, 0.2);
  EXPECT_EQ(sampling.max_new_tokens, 50);
  const auto with = [](const ordered_json& options) {
    return accepted_at("/api/generate", {{"prompt", "Hi"}, {"options", options}}).sampling;
  };
  EXPECT_EQ(with({{"num_predict", -1}}).max_new_tokens, 100);
  EXPECT_EQ(with({{"num_predict", 0}}).max_new_tokens, 100);
  EXPECT_EQ(with({{"num_predict", 3000}}).max_new_tokens, 100);
  EXPECT_EQ(with({{"seed", -1}}).seed, std::nullopt);
  EXPECT_EQ(with({{"repeat_penalty", 1.5}, {"repeat_last_n", 0}}).repetition_penalty, 1);
}

TEST(ProtocolFields, ConversationsAreThoseOfChats) {
  const net::ChatRequest ollama = accepted_at(
      "/api/chat",
      {{"system", "Be kind."},
       {"messages",
        {{{"role", "user"}, {"content", "Look."}, {"images", {net::encode_base64("picture")}}},
         {{"role", "assistant"},
          {"content", "I do."},
          {"tool_calls", {{{"function", {{"name", "f"}, {"arguments", {{"a", 1}}}}}}}}},
         {{"role", "tool"}, {"content", "1"}},
         {{"role", "tool"}, {"content", "2"}}}}});
  const net::ChatRequest responses = accepted_at(
      "/v1/responses",
      {{"instructions", "Be kind."},
       {"input",
        {{{"role", "user"},
          {"content",
           {{{"type", "input_text"}, {"text", "Look."}},
            {{"type", "input_image"},
             {"image_url", "data:image/png;base64," + net::encode_base64("picture")}}}}},
         {{"type", "message"},
          {"role", "assistant"},
          {"content", {{{"type", "output_text"}, {"text", "I do."}, {"annotations", {}}}}}},
         {{"type", "function_call"}, {"call_id", "1"}, {"name", "f"}, {"arguments", R"({"a": 1})"}},
         {{"type", "function_call_output"}, {"call_id", "1"}, {"output", "1"}},
         {{"type", "function_call_output"}, {"call_id", "2"}, {"output", "2"}}}}});
  ASSERT_EQ(ollama.turns.size(), 4U);
  ASSERT_EQ(responses.turns.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(ollama.turns[i].role, responses.turns[i].role);
    EXPECT_EQ(ollama.turns[i].text, responses.turns[i].text);
    EXPECT_EQ(ollama.turns[i].images, responses.turns[i].images);
  }
  EXPECT_EQ(ollama.turns[0].text, "Be kind.");
  EXPECT_EQ(ollama.turns[1].images, std::vector<std::string>{"picture"});
  EXPECT_TRUE(ollama.turns[2].text.starts_with("I do.\n<tool_call>")) << ollama.turns[2].text;
}

// LLM Vision repeats a message's pictures beside the messages.
TEST(ProtocolFields, RepeatedPicturesAreOne) {
  const net::ChatRequest request =
      accepted_at("/api/chat", {{"messages", {{{"role", "user"}, {"images", {"QUJD"}}}}},
                                {"images", {"QUJD"}},
                                {"prompt", ordered_json::array()}});
  ASSERT_EQ(request.turns.size(), 1U);
  EXPECT_EQ(request.turns[0].images, std::vector<std::string>{"ABC"});
}

}  // namespace
}  // namespace fvlm
