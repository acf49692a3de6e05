// A runner without a model, for tests of what goes into which pass: it records its passes and
// answers with the position of each token, as a digit.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "fvlm/models/module.hpp"
#include "runtime/engine/runner.hpp"

namespace fvlm {

class FakeRunner final : public ModelRunner {
 public:
  struct Options {
    PassLimits limits{};
    std::int64_t cache_pages = 100;
    bool samples = false;  // tokens, where the logits would be
    // Called before each pass with what it is: "encode 2" images, "prefill 26 10" and "decode 1 1"
    // rows of each segment. What it throws, the pass throws.
    std::function<void(const std::string& pass)> on_pass{};
    std::function<bool()> encoded = [] { return true; };
  };

  // `digits` are the ids of the tokens "0" to "9".
  FakeRunner(FastVlmConfig config, std::vector<std::int32_t> digits, Options options)
      : digits_(std::move(digits)), options_(std::move(options)) {
    facts_ = {.config = std::move(config),
              .limits = options_.limits,
              .device = "fake",
              .cache_pages = options_.cache_pages};
  }

  Pixels pixel_memory(std::size_t bytes) override { return make_pixels(bytes); }

  void encode(std::span<const Pixels> pictures, const std::stop_token& stop) override {
    begin("encode " + std::to_string(pictures.size()));
    stop_if_requested(stop);
    images_ = std::ssize(pictures);
  }
  bool encoded() const override { return options_.encoded(); }
  void wait_until_encoded() override {}
  void encode_observed(const Pixels& /*picture*/, const Observer& /*observe*/) override {}

  PassOutput prefill(const PrefillPass& pass, const NextTokens& next,
                     const std::stop_token& stop) override {
    begin("prefill" + rows_of(pass.batch));
    stop_if_requested(stop);
    for (const PromptRows& rows : pass.input) {
      if (rows.image >= images_) throw std::logic_error("an image that was not encoded");
      if (rows.kept >= 0 && !kept_.contains(rows.kept)) throw std::logic_error("nothing is there");
    }
    for (const auto& [image, place] : pass.keep) {
      if (image >= images_ || place >= limits().kept_images)
        throw std::logic_error("no such place");
      kept_.insert(place);
    }
    return answer(pass.batch, pass.last_rows, next);
  }
  PassOutput decode(std::span<const std::int32_t> /*ids*/, const DecoderBatch& batch,
                    const NextTokens& next) override {
    begin("decode" + rows_of(batch));
    std::vector<std::int64_t> all;
    for (std::int64_t row = 0; row < batch.rows(); ++row) all.push_back(row);
    return answer(batch, all, next);
  }
  bool can_sample(const SamplingParams& /*params*/) const override { return options_.samples; }
  void copy_page(std::int32_t /*from*/, std::int32_t /*to*/) override {}

 private:
  void begin(const std::string& pass) const {
    if (options_.on_pass) options_.on_pass(pass);
  }

  static std::string rows_of(const DecoderBatch& batch) {
    std::string text;
    for (const Segment& segment : batch.segments) text += " " + std::to_string(segment.rows);
    return text;
  }

  // The digit of the position after each of these rows.
  PassOutput answer(const DecoderBatch& batch, std::span<const std::int64_t> rows,
                    const NextTokens& next) {
    tokens_.clear();
    for (const std::int64_t row : rows) {
      for (const Segment& segment : batch.segments) {
        if (row < segment.first_row || row >= segment.first_row + segment.rows) continue;
        const std::int64_t position = segment.position + row - segment.first_row + 1;
        tokens_.push_back(digits_[static_cast<std::size_t>(position % 10)]);
      }
    }
    const auto now = std::chrono::steady_clock::now();
    if (!next.sampling.empty()) return {.tokens = tokens_, .embedded = now};
    const auto width = static_cast<std::size_t>(next.vocabulary);
    logits_.assign(tokens_.size() * width, 0.0F);
    for (std::size_t row = 0; row < tokens_.size(); ++row)
      logits_[row * width + static_cast<std::size_t>(tokens_[row])] = 1;
    return {.logits = {logits_.data(), std::ssize(tokens_), next.vocabulary, next.vocabulary},
            .embedded = now};
  }

  std::vector<std::int32_t> digits_;
  Options options_;
  std::int64_t images_ = 0;  // that were encoded last
  std::set<std::int64_t> kept_;
  std::vector<std::int32_t> tokens_;
  std::vector<float> logits_;
};

}  // namespace fvlm
