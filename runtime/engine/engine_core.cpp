#include "runtime/engine/engine_core.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "runtime/engine/batching.hpp"
#include "runtime/engine/prompt.hpp"
#include "runtime/image/prepare.hpp"

namespace fvlm {
namespace {

std::vector<std::int32_t> ends_of_answers(const Qwen2Config& text, const Tokenizer& tokenizer) {
  auto tokens = text.eos_tokens;
  for (const char* end : {"<|im_end|>", "<|endoftext|>"}) {
    if (const auto id = tokenizer.special_token(end)) tokens.push_back(*id);
  }
  return tokens;
}

// Tokens that can be chosen. Apple's loader cuts the model's logits to as many as its tokenizer has
// entries.
std::int64_t vocabulary(const FastVlmConfig& config, const Tokenizer& tokenizer) {
  const bool adds_one = config.has_patch_token && !tokenizer.special_token("<im_patch>");
  return std::min<std::int64_t>(config.text.vocab_size, tokenizer.size() + (adds_one ? 1 : 0));
}

// The source of a request's grammar; empty if it has none.
std::string grammar_of(const Generation& g) {
  return g.request().grammar ? g.request().grammar->source() : "";
}

}  // namespace

EngineCore::EngineCore(std::unique_ptr<ModelRunner> runner, Tokenizer tokenizer, EngineInfo info,
                       std::int64_t max_waiting)
    : runner_(std::move(runner)),
      tokenizer_(std::move(tokenizer)),
      info_(std::move(info)),
      grammars_(tokenizer_, vocabulary(runner_->config(), tokenizer_),
                ends_of_answers(runner_->config().text, tokenizer_)),
      cache_(*runner_),
      passes_(*runner_, cache_, ends_of_answers(runner_->config().text, tokenizer_),
              vocabulary(runner_->config(), tokenizer_)),
      scheduler_(
          {.waiting = max_waiting, .pages = cache_.pages(), .images = runner_->limits().images}) {
  info_.vocabulary = passes_.vocabulary();
  thread_ = std::thread([this] { work(); });
}

EngineCore::~EngineCore() {
  scheduler_.close();
  thread_.join();
}

PreparedImage EngineCore::prepare(ImageReader& reader) {
  return prepare_image(reader, runner_->config().preprocessing, side(),
                       runner_->pixel_memory(static_cast<std::size_t>(side() * side() * 3)));
}

RequestId EngineCore::submit(Request request) {
  if (const std::string problem = request.sampling.problem(); !problem.empty())
    throw Error(problem);
  for (const TokenBias& one : request.sampling.logit_bias) {
    if (one.token < info_.vocabulary) continue;
    throw make_error("logit_bias names token {}, the model has {} tokens", one.token,
                     info_.vocabulary);
  }
  if (request.grammar) grammars_.prepare();
  PromptLayout prompt = layout(request);
  const Generation::Budget most = budget(prompt, request.sampling);
  const RequestId id = next_id_++;
  const std::uint64_t seed = request.sampling.seed.value_or(std::random_device{}() + id);
  if (request.live) views_.begin(request.live->id);
  scheduler_.submit(
      std::make_unique<Generation>(id, std::move(request), std::move(prompt), most, seed));
  return id;
}

// Takes the conversation out of a request.
PromptLayout EngineCore::layout(Request& request) const {
  PromptLayout prompt;
  if (request.raw) {
    if (!request.conversation.empty()) {
      throw Error("a request has a raw prompt or a conversation, not both");
    }
    prompt.continues = true;
    prompt.ids = make_prompt(tokenizer_, *request.raw, info_.context_tokens, info_.vocabulary);
    prompt.spans = prompt_spans(prompt.ids, info_.image_tokens);
    request.raw.reset();
    return prompt;
  }
  for (const Turn& turn : request.conversation) {
    for (const PreparedImage& picture : turn.images) {
      if (picture.pixels && picture.side == side()) continue;
      throw make_error("a picture has {} pixels a side, this model sees {}: prepare() makes them",
                       picture.side, side());
    }
  }
  if (!request.conversation.empty()) {
    const Turn& last = request.conversation.back();
    prompt.continues = last.role == Turn::Role::kAssistant && !last.text.empty();
  }
  prompt.ids = make_prompt(tokenizer_, request.conversation, info_.context_tokens);
  prompt.spans = prompt_spans(prompt.ids, info_.image_tokens);
  for (Turn& turn : request.conversation) {
    std::move(turn.images.begin(), turn.images.end(), std::back_inserter(prompt.images));
  }
  request.conversation.clear();
  return prompt;
}

// Checks that a request fits into the context and the cache.
Generation::Budget EngineCore::budget(const PromptLayout& prompt, const Sampling& sampling) const {
  const std::int64_t positions = prompt.positions();
  if (positions >= info_.context_tokens) {
    throw make_error(
        "the prompt is {} tokens long ({} images of {} each), the context holds {}; shorten it",
        positions, prompt.images.size(), info_.image_tokens, info_.context_tokens);
  }
  if (positions > runner_->config().max_prompt) {
    throw make_error(
        "the prompt is {} tokens long, tokenizer_model_max_length of {} is {}; shorten it",
        positions, info_.model, runner_->config().max_prompt);
  }
  Generation::Budget most;
  most.new_tokens = std::min(sampling.max_new_tokens, info_.context_tokens - positions);
  // Tokens that begin and end inside a page; a beam's successors exist for a moment beside it.
  const auto pages = [](std::int64_t tokens) { return tokens / kPageTokens + 2; };
  const std::int64_t beams = sampling.num_beams;
  most.pages = pages(positions) + beams * (pages(most.new_tokens) + (beams > 1 ? 1 : 0));
  if (most.pages > cache_.pages()) {
    throw make_error(
        "{} beams of up to {} tokens need {} pages of the KV cache, which has {}; ask for fewer",
        beams, most.new_tokens, most.pages, cache_.pages());
  }
  return most;
}

// A prefill pass, then a decode pass of everything that has its prompt behind it, so that running
// answers are not starved by new requests.
void EngineCore::work() {
  while (scheduler_.wait(views_)) {
    end_cancelled();
    grammars_.tidy();
    prepare_queued();
    prefill();
    say_new();
    end_cancelled();
    decode();
    say_new();
    if (prefill_batch_) prefill_batch_->forget_done();
    count();
    while (GenerationPtr done = scheduler_.take_done()) retire(*done);
  }
}

void EngineCore::end_cancelled() {
  scheduler_.end_cancelled();
  if (prefill_batch_) prefill_batch_->forget_done();
}

// Takes over what is cached of their prompts. A prompt that another request is running through the
// decoder is waited for: several answers to one prompt cost one prefill.
void EngineCore::prepare_queued() {
  for (const GenerationPtr& g : scheduler_.running()) {
    if (g->phase() != Generation::Phase::kQueued) continue;
    guarded(*g, [&] {
      if (repeat_unchanged(*g)) return;
      const Generation* const same = running_with_prompt_of(*g);
      if (same != nullptr && same->prefills()) return;
      if (g->request().grammar)
        g->answer().set_grammar(AnswerGrammar(grammars_.masks(*g->request().grammar)));
      if (same == nullptr) {
        g->prepare(cache_.begin(g->prompt().keys(), g->prompt().spans));
      } else {
        const Sequence& prompt = same->answer().hypotheses().front().sequence;
        g->prepare(cache_.fork(prompt, g->prompt().positions() - 1));
      }
    });
  }
}

const Generation* EngineCore::running_with_prompt_of(const Generation& g) const {
  const auto& running = scheduler_.running();
  const auto same = std::ranges::find_if(running, [&](const GenerationPtr& other) {
    return (other->prefills() || other->phase() == Generation::Phase::kDecode) &&
           other->prompt().equals(g.prompt());
  });
  return same == running.end() ? nullptr : same->get();
}

// Goes on in prompts. Answers go on while images are encoded, if the backend does that beside them.
void EngineCore::prefill() {
  if (!prefill_batch_) {
    auto chunks = plan_prefill(scheduler_.running(), runner_->limits(), passes_.kept());
    if (chunks.empty()) return;
    prefill_batch_.emplace(passes_.begin(std::move(chunks)));
    const bool encodes =
        guarded_batch([&](const std::stop_token& stop) { passes_.encode(*prefill_batch_, stop); });
    if (!encodes) return;
  }
  if (decodes_any() && !passes_.encoded()) return;
  guarded_batch([&](const std::stop_token& stop) { passes_.prefill(*prefill_batch_, stop); });
  prefill_batch_.reset();
}

bool EngineCore::decodes_any() const {
  const auto& running = scheduler_.running();
  return std::any_of(running.begin(), running.end(), [](const GenerationPtr& g) {
    return g->phase() == Generation::Phase::kDecode;
  });
}

// A part of the work on all prompts of the batch; what goes wrong ends them and the batch: false.
template <class Work>
bool EngineCore::guarded_batch(const Work& part) {
  const auto stops = prefill_batch_->stops();
  const StopOfAll stop(stops);
  try {
    if (!prefill_batch_->parts().empty()) {
      part(stop.token());
      return true;
    }
  } catch (const Stopped&) {  // all of them: end_cancelled() ends them
  } catch (const std::exception& error) {
    for (const PrefillBatch::Part& one : prefill_batch_->parts()) {
      one.chunk.generation->fail(error);
    }
  }
  prefill_batch_.reset();
  return false;
}

void EngineCore::decode() {
  for (const auto& group : plan_decode(scheduler_.running(), runner_->limits())) {
    try {
      passes_.decode(group);
    } catch (const std::exception& error) {
      for (Generation* g : group) g->fail(error);
    }
  }
}

// If a live view has not changed since its last answer, that is this one: true. Otherwise the last
// answer becomes the draft of this one.
bool EngineCore::repeat_unchanged(Generation& g) {
  if (!g.request().live) return false;
  const LiveView& live = *g.request().live;
  const auto last = views_.last(live.id, g.prompt().ids);
  const Thumbnail* now = g.thumbnail();
  const bool repeats = last && last->grammar == grammar_of(g) &&
                       !g.request().sampling.logprobs;  // which are not kept
  if (repeats && last->seen && now && last->seen->difference(*now) < live.unchanged_below) {
    g.repeat(last->tokens, last->outcome);
    g.say(last->text);
    return true;
  }
  if (live.draft && !g.answer().searches_beams())
    g.answer().set_draft(Draft(last ? last->tokens : std::vector<std::int32_t>{}));
  return false;
}

// Streams what the new tokens say.
void EngineCore::say_new() const {
  for (const GenerationPtr& g : scheduler_.running()) say_new(*g);
}

void EngineCore::say_new(Generation& g) const {
  const auto name = [this](TokenLogprob& one) {
    one.text = tokenizer_.token_bytes(one.token);
    one.control = tokenizer_.is_special(one.token);
  };
  for (const std::int32_t token : g.take_unsaid()) {
    g.say_logprobs(name);
    if (!tokenizer_.is_special(token)) g.say_bytes(tokenizer_.token_bytes(token));
  }
}

void EngineCore::count() {
  scheduler_.count([this](EngineCounters& counters) {
    counters = passes_.counters();
    counters.cache_pages = cache_.pages();
    counters.free_pages = cache_.free_pages();
  });
}

// Hands over an answer and keeps its cache for later prompts.
void EngineCore::retire(Generation& g) {
  say_new(g);
  keep_cached(g);
  const Result result = g.take_result();
  const bool whole = result.outcome == Outcome::kStop || result.outcome == Outcome::kLength;
  if (g.request().live && whole && !result.unchanged) {
    const Thumbnail* seen = g.thumbnail();
    views_.remember(g.request().live->id,
                    {g.prompt().ids, grammar_of(g), result.tokens, result.text, result.outcome,
                     seen ? std::optional(*seen) : std::nullopt});
  }
  if (g.request().on_done) g.request().on_done(result);
}

void EngineCore::keep_cached(Generation& g) {
  auto& hypotheses = g.answer().hypotheses();
  if (g.outcome() == Outcome::kFailed || hypotheses.empty() ||
      g.prefilled() < g.prompt().positions()) {
    return;
  }
  PositionKeys keys = g.prompt().keys();
  for (const std::int32_t token : hypotheses.front().tokens) keys.push_back(token_key(token));
  keys.resize(static_cast<std::size_t>(hypotheses.front().sequence.length()));
  cache_.keep(std::move(keys), std::move(hypotheses.front().sequence));
}

}  // namespace fvlm
