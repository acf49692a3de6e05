// The engine over a runner: a thread that runs what the scheduler lets in, all of it together.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "runtime/engine/generation.hpp"
#include "runtime/engine/live_views.hpp"
#include "runtime/engine/model_passes.hpp"
#include "runtime/engine/passes.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/engine/runner.hpp"
#include "runtime/engine/scheduler.hpp"
#include "runtime/engine/stop_of_all.hpp"
#include "runtime/image/picture.hpp"
#include "runtime/tokenizer/tokenizer.hpp"

namespace fvlm {

class EngineCore final : public Engine {
 public:
  EngineCore(std::unique_ptr<ModelRunner> runner, Tokenizer tokenizer, EngineInfo info,
             std::int64_t max_waiting)
      : runner_(std::move(runner)),
        tokenizer_(std::move(tokenizer)),
        info_(std::move(info)),
        cache_(*runner_),
        passes_(*runner_, cache_, ends_of_answers(), tokens()),
        scheduler_(
            {.waiting = max_waiting, .pages = cache_.pages(), .images = runner_->limits().images}) {
    thread_ = std::thread([this] { work(); });
  }

  ~EngineCore() override {
    scheduler_.close();
    thread_.join();
  }

  Picture prepare(ImageReader& reader) override {
    return make_picture(reader, runner_->config().picture, side(),
                        runner_->pixel_memory(static_cast<std::size_t>(side() * side() * 3)));
  }

  RequestId submit(Request request) override {
    if (const std::string problem = request.sampling.problem(); !problem.empty())
      throw Error(problem);
    for (const Turn& turn : request.conversation) {
      for (const Picture& picture : turn.images) check(picture);
    }
    auto ids = make_prompt(tokenizer_, request.conversation, info_.context_tokens);
    const RequestId id = next_id_++;
    const std::uint64_t seed = request.sampling.seed.value_or(std::random_device{}() + id);
    auto generation = std::make_unique<Generation>(id, std::move(request), std::move(ids), seed);
    measure(*generation);
    if (generation->request.live) views_.begin(generation->request.live->id);
    scheduler_.submit(std::move(generation));
    return id;
  }

  void cancel(RequestId id) override { scheduler_.cancel(id); }
  void end_live(std::uint64_t view) override { views_.end(view); }
  EngineCounters counters() const override { return scheduler_.counters(); }
  const EngineInfo& info() const override { return info_; }

 private:
  std::vector<std::int32_t> ends_of_answers() const {
    auto tokens = runner_->config().text.eos_tokens;
    for (const char* end : {"<|im_end|>", "<|endoftext|>"}) {
      if (const auto id = tokenizer_.special_token(end)) tokens.push_back(*id);
    }
    return tokens;
  }

  // That can be chosen. Apple's loader cuts the model's logits to as many as its tokenizer has
  // entries.
  std::int64_t tokens() const {
    const bool adds_one =
        runner_->config().has_patch_token && !tokenizer_.special_token("<im_patch>");
    return std::min<std::int64_t>(runner_->config().text.vocab_size,
                                  tokenizer_.size() + (adds_one ? 1 : 0));
  }

  std::int64_t side() const { return runner_->config().vision.image_size; }

  void check(const Picture& picture) const {
    if (!picture.pixels || picture.side != side()) {
      throw make_error("a picture has {} pixels a side, this model sees {}: prepare() makes them",
                       picture.side, side());
    }
  }

  // Checks that a request fits into the context and the cache, and says how much it may take.
  void measure(Generation& g) const {
    g.spans = prompt_spans(g.ids, info_.image_tokens);
    const std::int64_t positions = g.spans.back().end();
    if (positions >= info_.context_tokens) {
      throw make_error(
          "the prompt is {} tokens long ({} images of {} each), the context holds {}; shorten it",
          positions, std::count(g.ids.begin(), g.ids.end(), kImageToken), info_.image_tokens,
          info_.context_tokens);
    }
    if (positions > runner_->config().max_prompt) {
      throw make_error(
          "the prompt is {} tokens long, tokenizer_model_max_length of {} is {}; shorten it",
          positions, info_.model, runner_->config().max_prompt);
    }
    g.statistics.prompt_tokens = positions;
    g.max_new_tokens =
        std::min(g.request.sampling.max_new_tokens, info_.context_tokens - positions);
    // Tokens that begin and end inside a page; a beam's successors exist for a moment beside it.
    const auto pages = [](std::int64_t tokens) { return tokens / kPageTokens + 2; };
    const std::int64_t beams = g.request.sampling.num_beams;
    g.reserved_pages = pages(positions) + beams * (pages(g.max_new_tokens) + (beams > 1 ? 1 : 0));
    if (g.reserved_pages > cache_.pages()) {
      throw make_error(
          "{} beams of up to {} tokens need {} pages of the KV cache, which has {}; ask for fewer",
          g.request.sampling.num_beams, g.max_new_tokens, g.reserved_pages, cache_.pages());
    }
  }

  // One pass over prompts, then one step of everything that has its prompt behind it, so that
  // running answers are not starved by new requests.
  void work() {
    while (scheduler_.wait(views_)) {
      scheduler_.end_cancelled();
      prefill();
      say_new();
      scheduler_.end_cancelled();
      decode();
      say_new();
      if (reading_) reading_->forget_ended();
      count();
      while (GenerationPtr ended = scheduler_.take_ended()) retire(*ended);
    }
  }

  // Reads on in prompts. Answers go on while images are encoded, if the backend does that beside
  // them.
  void prefill() {
    for (const GenerationPtr& g : scheduler_.running()) {
      if (g->outcome || g->prepared()) continue;
      guarded(*g, [&] {
        if (!g->request.live || !take_from_view(*g)) passes_.prepare(*g);
      });
    }
    if (!reading_) {
      auto pieces = plan_prefill(scheduler_.running(), runner_->limits());
      if (pieces.empty()) return;
      reading_.emplace(std::move(pieces));
      guarded_reading([&](const std::stop_token& stop) { passes_.encode(*reading_, stop); });
    }
    if (reading_ && (passes_.encoded() || !decodes_any())) {
      guarded_reading([&](const std::stop_token& stop) { passes_.read(*reading_, stop); });
      reading_.reset();
    }
  }

  bool decodes_any() const {
    const auto& running = scheduler_.running();
    return std::any_of(running.begin(), running.end(),
                       [](const GenerationPtr& g) { return !g->outcome && g->prefill_done(); });
  }

  // A part of the work on all prompts that are read; what goes wrong ends them.
  template <class Work>
  void guarded_reading(const Work& part) {
    const auto stops = reading_->stops();
    const StopOfAll stop(stops);
    try {
      if (!reading_->parts().empty()) return part(stop.token());
    } catch (const Stopped&) {  // all of them: end_cancelled() ends them
    } catch (const std::exception& error) {
      for (const auto& [piece, first_image] : reading_->parts()) fail(*piece.generation, error);
    }
    reading_.reset();
  }

  void decode() {
    for (const auto& group : plan_decode(scheduler_.running(), runner_->limits())) {
      try {
        passes_.decode(group);
      } catch (const std::exception& error) {
        for (Generation* g : group) fail(*g, error);
      }
    }
  }

  // The last answer of a live view becomes the draft of this one. If the view has not changed since
  // then, it is this one: true.
  bool take_from_view(Generation& g) {
    const LiveView& live = *g.request.live;
    const Picture* only = nullptr;
    std::size_t images = 0;
    for (const Turn& turn : g.request.conversation) {
      images += turn.images.size();
      if (!turn.images.empty()) only = &turn.images.front();
    }
    if (images == 1) g.seen = only->thumbnail;
    const auto last = views_.last(live.id, g.ids);
    if (last && last->seen && g.seen && last->seen->difference(*g.seen) < live.unchanged_below) {
      g.end_unchanged(last->tokens, last->outcome);
      say(g, last->text);
      return true;
    }
    if (live.draft && g.request.sampling.num_beams <= 1)
      g.draft = Draft(last ? last->tokens : std::vector<std::int32_t>{});
    return false;
  }

  // Streams what the new tokens say.
  void say_new() {
    for (const GenerationPtr& g : scheduler_.running()) {
      if (g->hypotheses.empty() || g->request.sampling.num_beams > 1) continue;  // known at the end
      const auto& tokens = g->hypotheses.front().tokens;
      for (; g->said < tokens.size(); ++g->said) {
        say_token(*g, tokens[g->said]);
      }
    }
  }

  void say_token(Generation& g, std::int32_t token) const {
    if (!tokenizer_.is_special(token)) say(g, g.stream.push(tokenizer_.token_bytes(token)));
  }

  static void say(Generation& g, const std::string& piece) {
    if (piece.empty()) return;
    g.text += piece;
    if (g.request.on_text) g.request.on_text(piece);
  }

  void count() {
    scheduler_.count([this](EngineCounters& counters) {
      counters = passes_.counters();
      counters.cache_pages = cache_.pages();
      counters.free_pages = cache_.free_pages();
    });
  }

  // Hands over an answer and keeps its cache for later prompts.
  void retire(Generation& g) {
    if (g.request.sampling.num_beams > 1) {
      for (const std::int32_t token : g.answer) say_token(g, token);
    }
    say(g, g.stream.finish());
    passes_.keep(g);
    const Result result = g.take_result();
    const bool whole = result.outcome == Outcome::kStop || result.outcome == Outcome::kLength;
    if (g.request.live && whole && !result.unchanged) {
      views_.remember(g.request.live->id,
                      {g.ids, result.tokens, result.text, result.outcome, g.seen});
    }
    if (g.request.on_done) g.request.on_done(result);
  }

  std::unique_ptr<ModelRunner> runner_;
  Tokenizer tokenizer_;
  EngineInfo info_;
  LiveViews views_;
  std::atomic<RequestId> next_id_ = 1;

  // Of the engine's thread, but for the scheduler.
  KvCache cache_;
  ModelPasses passes_;
  Scheduler scheduler_;
  std::optional<Reading> reading_;

  std::thread thread_;
};

}  // namespace fvlm
