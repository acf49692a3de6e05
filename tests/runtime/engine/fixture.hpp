// What the tests of the engine share: the small golden models, made-up pictures and prompts, and a
// listener that records what a request's callbacks say. Answers are float32 and greedy, so that
// work that is batched otherwise (from the prefix cache, with other requests) must give the same
// tokens.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "fvlm/image.hpp"
#include "runtime/engine/answer_text.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/image/prepare.hpp"
#include "runtime/tokenizer/tokenizer.hpp"
#include "tests/support/devices.hpp"

namespace fvlm {

// What a model with this many pixels a side sees of an image.
inline PreparedImage seen(const Image& image, std::int64_t side) {
  return prepare_image(*open_pixels(image), {}, side,
                       make_pixels(static_cast<std::size_t>(side * side * 3)));
}

// Pixels a side of the golden model that is tested.
inline std::int64_t golden_side = 256;

// A picture whose pixels depend on its position and on `variant`, as the golden model sees it.
inline PreparedImage picture(std::int64_t width, std::int64_t height, int variant) {
  Image image{width, height, {}};
  for (std::int64_t i = 0; i < width * height; ++i) {
    for (std::int64_t channel = 1; channel <= 3; ++channel) {
      image.rgb.push_back(
          static_cast<std::uint8_t>((i * channel * (variant + 1) + variant * 37) % 256));
    }
  }
  return seen(image, golden_side);
}

// A text of `count` tokens: Qwen2 makes each digit one.
inline std::string digits(std::int64_t count, std::int64_t variant = 0) {
  std::string text;
  for (std::int64_t i = 0; i < count; ++i) text += static_cast<char>('0' + (i * i + variant) % 10);
  return text;
}

// Log probabilities, which show the last bit of the logits.
inline std::vector<double> bits_of(const Result& result) {
  std::vector<double> all;
  for (const TokenLogprobs& one : result.logprobs) {
    for (const TokenLogprob& top : one.top) all.push_back(top.logprob);
  }
  return all;
}

// A request for a greedy answer to one turn.
inline Request ask(std::string text, std::vector<PreparedImage> images = {},
                   std::int64_t max_new_tokens = 12) {
  Request request;
  request.conversation.push_back({Turn::Role::kUser, std::move(text), std::move(images)});
  request.sampling.temperature = 0;
  request.sampling.max_new_tokens = max_new_tokens;
  return request;
}

// The same, where each "*" in the text is the place of an image.
inline Request ask_placed(const std::string& text, std::vector<PreparedImage> images,
                          std::int64_t max_new_tokens = 12) {
  Request request = ask({}, std::move(images), max_new_tokens);
  Turn& turn = request.conversation.back();
  for (const char c : text) {
    if (c == '*') {
      turn.image_places.push_back(turn.text.size());
    } else {
      turn.text += c;
    }
  }
  return request;
}

// Records one request's callbacks. Must live until its end.
class Listener {
 public:
  // Called on the engine's thread, after recording.
  std::function<void()> on_piece;
  std::function<void()> on_end;

  Request attach(Request request) {
    request.on_text = [this](std::string_view piece) {
      {
        const std::lock_guard lock(mutex_);
        pieces_.emplace_back(piece);
        late_pieces_ += ends_;
      }
      if (on_piece) on_piece();
    };
    request.on_done = [this](const Result& result) {
      if (on_end) on_end();
      const std::lock_guard lock(mutex_);
      result_ = result;
      ++ends_;
      changed_.notify_all();
    };
    return request;
  }

  // Waits for the end.
  Result result() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::minutes(2), [&] { return ends_ > 0; })) {
      throw Error("the request never ended");
    }
    return *result_;
  }
  std::vector<std::string> pieces() const {
    const std::lock_guard lock(mutex_);
    return pieces_;
  }
  int ends() const {
    const std::lock_guard lock(mutex_);
    return ends_;
  }
  int late_pieces() const {
    const std::lock_guard lock(mutex_);
    return late_pieces_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> pieces_;
  std::optional<Result> result_;
  int ends_ = 0;
  int late_pieces_ = 0;  // after the end
};

using EngineParameters = std::tuple<std::string, Device>;  // golden model, device

class EngineTest : public testing::TestWithParam<EngineParameters> {
 protected:
  EngineTest() { golden_side = std::get<0>(GetParam()) == "tiny" ? 256 : 128; }
  ~EngineTest() override { golden_side = 256; }

  std::filesystem::path folder() const {
    return std::filesystem::path(FVLM_TEST_DATA) / "golden" / std::get<0>(GetParam()) /
           "checkpoint";
  }

  std::unique_ptr<Engine> load(std::int64_t context_tokens = 2048, std::int64_t cache_tokens = 0,
                               std::size_t image_cache_bytes = 0) const {
    EngineOptions options;
    options.model_path = folder();
    options.device = std::get<1>(GetParam());
    options.precision = Precision::kF32;
    options.threads = 2;
    options.context_tokens = context_tokens;
    options.cache_tokens = cache_tokens;
    options.image_cache_bytes = image_cache_bytes;
    return Engine::load(options);
  }

  // As predict.py prints these tokens.
  std::string text_of(const std::vector<std::int32_t>& tokens) const {
    AnswerText stream;
    const std::string text = stream.push(Tokenizer::load(folder()).decode(tokens, false));
    return text + stream.finish();
  }

  // What an engine without a past answers.
  Result fresh(Request request) const { return load()->run(std::move(request)); }

  // Positions of the prompt before its first image.
  std::int64_t positions_before_image(const Request& request) const {
    const auto ids = make_prompt(Tokenizer::load(folder()), request.conversation, 2048);
    return std::find(ids.begin(), ids.end(), kImageToken) - ids.begin();
  }

  // The message of the Error with which a request is refused.
  static std::string refusal(Engine& engine, Request request) {
    try {
      engine.run(std::move(request));
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
};

inline std::string engine_test_name(const testing::TestParamInfo<EngineParameters>& info) {
  const auto& [model, device] = info.param;
  return model + device_suffix(device);
}

inline const auto kEveryEngine =
    testing::Combine(testing::Values(std::string("tiny"), std::string("gqa7")),
                     testing::Values(Device::kRef, Device::kCpu));
inline const auto kTinyEngines = testing::Combine(testing::Values(std::string("tiny")),
                                                  testing::Values(Device::kRef, Device::kCpu));

}  // namespace fvlm
