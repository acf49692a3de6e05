// The engine over one backend: a thread that runs what the scheduler lets in, all of it together:
// images are encoded, prompts read and answers continued in passes over several requests each.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/engine.hpp"
#include "runtime/generation.hpp"
#include "runtime/image_processor.hpp"
#include "runtime/live_views.hpp"
#include "runtime/loaded_model.hpp"
#include "runtime/passes.hpp"
#include "runtime/prefix_cache.hpp"
#include "runtime/prompt.hpp"
#include "runtime/reading.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/stop_of_all.hpp"
#include "runtime/tokenizer.hpp"

namespace fvlm {

// FNV-1a over 8-byte words: fast enough for every frame, and nobody attacks a cache of his own.
std::uint64_t hash_of(const std::vector<std::uint8_t>& bytes);

inline constexpr std::int64_t kCachedContexts = 4;  // whole contexts the KV cache can hold

template <class B>
class EngineCore final : public Engine {
 public:
  using E = typename B::Element;

  EngineCore(std::unique_ptr<LoadedModel<B>> loaded, Tokenizer tokenizer, EngineInfo info,
             std::int64_t max_waiting)
      : loaded_(std::move(loaded)),
        tokenizer_(std::move(tokenizer)),
        info_(std::move(info)),
        pool_(kCachedContexts * ((info_.context_tokens + kPageTokens - 1) / kPageTokens)),
        pool_pages_(pool_.free_pages()),
        limits_(loaded_->limits),
        scheduler_({.waiting = max_waiting, .pages = pool_pages_, .images = limits_.images}),
        cache_(loaded_->backend.make_cache(loaded_->model.decoder.cache_shape(pool_pages_))),
        eos_(loaded_->config.text.eos_tokens),
        encoded_(loaded_->backend.arena().template matrix<E>(limits_.images * image_tokens(),
                                                             loaded_->config.text.hidden_size)) {
    for (const char* end : {"<|im_end|>", "<|endoftext|>"}) {
      if (const auto id = tokenizer_.special_token(end)) eos_.push_back(*id);
    }
    thread_ = std::thread([this] { work(); });
  }

  ~EngineCore() override {
    scheduler_.close();
    thread_.join();
  }

  RequestId submit(Request request) override {
    if (const std::string problem = request.sampling.problem(); !problem.empty())
      throw Error("{}", problem);
    for (const Turn& turn : request.conversation) {
      for (const Image& image : turn.images) check(image);
    }
    auto ids = make_prompt(tokenizer_, request.conversation);
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
  std::int64_t image_tokens() const { return loaded_->config.vision.tokens(); }

  // Whoever made the image by hand learns here, not from a read beyond its end.
  static void check(const Image& image) {
    if (image.width < 1 || image.height < 1 ||
        std::ssize(image.rgb) != image.width * image.height * 3) {
      throw Error("an image says it has {}x{} pixels of 3 bytes each, but has {} bytes",
                  image.width, image.height, image.rgb.size());
    }
  }

  // Checks that a request fits into the context and the cache, and says how much it may take.
  void measure(Generation& g) const {
    g.spans = prompt_spans(g.ids, image_tokens());
    const std::int64_t positions = g.spans.back().end();
    if (positions >= info_.context_tokens) {
      throw Error(
          "the prompt is {} tokens long ({} images of {} each), the context holds {}; shorten it",
          positions, std::count(g.ids.begin(), g.ids.end(), kImageToken), image_tokens(),
          info_.context_tokens);
    }
    g.statistics.prompt_tokens = positions;
    g.max_new_tokens =
        std::min(g.request.sampling.max_new_tokens, info_.context_tokens - positions);
    // Tokens that begin and end inside a page; a beam's successors exist for a moment beside it.
    const auto pages = [](std::int64_t tokens) { return tokens / kPageTokens + 2; };
    const std::int64_t beams = g.request.sampling.num_beams;
    g.reserved_pages = pages(positions) + beams * (pages(g.max_new_tokens) + (beams > 1 ? 1 : 0));
    if (g.reserved_pages > pool_pages_) {
      throw Error(
          "{} beams of up to {} tokens need {} pages of the KV cache, which has {}; ask for fewer",
          g.request.sampling.num_beams, g.max_new_tokens, g.reserved_pages, pool_pages_);
    }
  }

  // One pass over prompts, then one step of everything that has its prompt behind it, so that
  // running answers are not starved by new requests.
  void work() {
    while (scheduler_.wait(views_)) {
      scheduler_.end_cancelled();
      prefill();
      scheduler_.end_cancelled();
      for (const auto& group : plan_decode(scheduler_.running(), limits_)) decode(group);
      if (reading_) reading_->forget_ended();
      while (GenerationPtr ended = scheduler_.take_ended()) retire(*ended);
      scheduler_.count([this](EngineCounters& counters) {
        counters.cache_pages = pool_pages_;
        counters.free_pages = pool_.free_pages();
      });
    }
  }

  // Runs a part of one generation's work; what goes wrong ends that generation only.
  template <class Work>
  void guarded(Generation& g, const Work& part) {
    try {
      stop_if_requested(g.stop.get_token());
      part();
    } catch (const Stopped&) {
      g.end(Outcome::kCancelled);
    } catch (const std::exception& e) {
      fail(g, e.what());
    }
  }
  void fail(Generation& g, const char* why) {
    g.error = why;
    g.end(Outcome::kFailed);
  }

  // Prefill ------------------------------------------------------------------------------------

  // Resizes the images, names the positions and takes over what an earlier request has cached.
  void prepare(Generation& g) {
    const auto start = Generation::Clock::now();
    if (g.request.live && take_from_view(g)) return;
    const std::int64_t side = loaded_->config.vision.image_size;
    for (const Turn& turn : g.request.conversation) {
      for (const Image& image : turn.images) {
        PreparedImage& prepared = g.images.emplace_back();
        prepared.pixels.resize(static_cast<std::size_t>(side * side * 3));
        pad_and_resize(loaded_->backend, image, side, info_.threads, prepared.pixels);
        prepared.hash = hash_of(prepared.pixels);
      }
    }
    g.request.conversation.clear();
    for (const PromptSpan& span : g.spans) {
      for (std::int64_t i = 0; i < span.rows; ++i) {
        g.keys.push_back(
            span.image < 0
                ? static_cast<std::uint64_t>(g.ids[static_cast<std::size_t>(span.first_id + i)])
                : image_key(g.images[static_cast<std::size_t>(span.image)].hash, i));
      }
    }
    g.statistics.preprocess_s = since(start);

    make_room(1);  // before the search: what it drops must not be what is found
    const PrefixCache::Match match = prefixes_.find(g.keys);
    // The last position must run for its logits, and images are taken whole or not at all.
    std::int64_t length = std::min(match.length, std::ssize(g.keys) - 1);
    for (const PromptSpan& span : g.spans) {
      if (span.image >= 0 && length > span.position && length < span.end()) length = span.position;
    }
    g.hypotheses.push_back({length > 0 ? fork(*match.sequence, length) : Sequence(pool_), {}, 0});
    g.prefilled = length;
    g.statistics.cached_tokens = length;
  }

  // The last answer of a live view becomes the draft of this one. If the view has not changed since
  // then, it is this one: true.
  bool take_from_view(Generation& g) {
    const LiveView& live = *g.request.live;
    const Image* only = nullptr;
    std::size_t images = 0;
    for (const Turn& turn : g.request.conversation) {
      images += turn.images.size();
      if (!turn.images.empty()) only = &turn.images.front();
    }
    if (images == 1) g.seen = make_thumbnail(*only);
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

  // Encodes images of several prompts together and reads on in these prompts, in one pass each.
  // Answers go on while images are encoded, if the backend does that beside them.
  void prefill() {
    for (const GenerationPtr& g : scheduler_.running()) {
      if (!g->outcome && !g->prepared()) guarded(*g, [&] { prepare(*g); });
    }
    if (!reading_) {
      auto pieces = plan_prefill(scheduler_.running(), limits_);
      if (pieces.empty()) return;
      reading_.emplace(std::move(pieces));
      guarded_reading([&](const std::stop_token& stop) { encode(stop); });
    }
    if (reading_ && (loaded_->backend.beside_done() || !decodes_any())) {
      guarded_reading([&](const std::stop_token& stop) { read(stop); });
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
    } catch (const std::exception& e) {
      for (const auto& [piece, first_image] : reading_->parts()) fail(*piece.generation, e.what());
    }
    reading_.reset();
  }

  // The first part: encoded_ begins with [positions of all images, hidden].
  void encode(const std::stop_token& stop) {
    const auto& images = reading_->images();
    if (images.empty()) return;
    B& backend = loaded_->backend;
    const auto count = std::ssize(images);
    const std::int64_t side = loaded_->config.vision.image_size;
    pixels_.clear();
    for (const PreparedImage* image : images)
      pixels_.insert(pixels_.end(), image->pixels.begin(), image->pixels.end());
    backend.beside([&] {
      const Arena::Scope scope(backend.arena());
      loaded_->model.embed_images(backend, backend.upload({pixels_.data(), count, side, side, 3}),
                                  encoded_.slice_rows(0, count * image_tokens()), stop);
    });
    scheduler_.count([&](EngineCounters& counters) {
      ++counters.encoder_passes;
      counters.encoded_images += count;
    });
  }

  // The second part.
  void read(const std::stop_token& stop) {
    B& backend = loaded_->backend;
    const auto& decoder = loaded_->model.decoder;
    const Arena::Scope scope(backend.arena());
    const auto x =
        backend.arena().template matrix<E>(reading_->rows(), loaded_->config.text.hidden_size);
    backend.join();
    embed(x);
    backend.synchronize();  // so that the time is the encoder's
    const double encode_s = reading_->seconds();

    auto start = Generation::Clock::now();
    DecoderBatch batch;
    for (const auto& [piece, first_image] : reading_->parts()) {
      Sequence& sequence = piece.generation->hypotheses.front().sequence;
      make_room(sequence.pages_needed(piece.rows()));
      sequence.extend(piece.rows());
      batch.add(piece.rows(), piece.generation->prefilled, sequence.pages());
    }
    decoder.forward(backend, batch, cache_, x, stop);
    scheduler_.count([](EngineCounters& counters) { ++counters.prefill_passes; });
    std::vector<Generation*> done;  // reading their prompts
    std::vector<std::int64_t> last_rows;
    for (std::size_t i = 0; i < batch.segments.size(); ++i) {
      const PromptPiece& piece = reading_->parts()[i].piece;
      Generation& g = *piece.generation;
      g.statistics.encode_s += encode_s;
      g.statistics.prefill_s += since(start);
      g.prefilled += piece.rows();
      ++g.passes;
      if (!g.prefill_done()) continue;
      done.push_back(&g);
      last_rows.push_back(batch.segments[i].first_row + batch.segments[i].rows - 1);
    }
    if (done.empty()) return;

    start = Generation::Clock::now();
    const auto last = backend.arena().template matrix<E>(std::ssize(done), x.cols);
    for (std::size_t i = 0; i < done.size(); ++i)
      backend.copy(x.slice_rows(last_rows[i], 1), last.slice_rows(static_cast<std::int64_t>(i), 1));
    const auto logits =
        backend.arena().template matrix<float>(std::ssize(done), loaded_->config.text.vocab_size);
    decoder.logits(backend, last, logits);
    choose(done, logits);
    for (Generation* g : done) g->statistics.prefill_s += since(start);
  }

  // The rows of prompts: x [rows of all pieces, hidden].
  void embed(View<E> x) {
    B& backend = loaded_->backend;
    std::int64_t row = 0;
    for (const auto& [piece, first_image] : reading_->parts()) {
      std::int64_t image = first_image;
      for (const PromptSpan& span : piece.spans) {
        const View<E> place = x.slice_rows(row, span.rows);
        row += span.rows;
        if (span.image >= 0) {
          backend.copy(encoded_.slice_rows(image++ * image_tokens(), image_tokens()), place);
        } else {
          loaded_->model.decoder.embed(backend,
                                       std::span(piece.generation->ids)
                                           .subspan(static_cast<std::size_t>(span.first_id),
                                                    static_cast<std::size_t>(span.rows)),
                                       place);
        }
      }
    }
  }

  // Decode -------------------------------------------------------------------------------------

  // The next tokens of a group of answers: one for each, and more where a draft is right.
  void decode(const std::vector<Generation*>& group) {
    try {
      B& backend = loaded_->backend;
      const Arena::Scope scope(backend.arena());
      const auto& text = loaded_->config.text;
      std::vector<std::int32_t> ids;
      DecoderBatch batch;
      for (Generation* g : group) {
        for (Hypothesis& h : g->hypotheses) {
          const std::int64_t position = h.sequence.length();
          const std::int64_t rows = 1 + std::ssize(g->proposed);
          make_room(h.sequence.pages_needed(rows));
          h.sequence.extend(rows);
          ids.push_back(h.tokens.back());
          ids.insert(ids.end(), g->proposed.begin(), g->proposed.end());
          batch.add(rows, position, h.sequence.pages());
        }
      }
      const std::int64_t rows = batch.rows();
      const auto x = backend.arena().template matrix<E>(rows, text.hidden_size);
      const auto logits = backend.arena().template matrix<float>(rows, text.vocab_size);
      loaded_->model.decoder.embed(backend, ids, x);
      loaded_->model.decoder.forward(backend, batch, cache_, x);
      loaded_->model.decoder.logits(backend, x, logits);
      scheduler_.count([&](EngineCounters& counters) {
        ++counters.decode_passes;
        counters.decoded_rows += rows;
      });
      choose(group, logits);
    } catch (const std::exception& e) {
      for (Generation* g : group) fail(*g, e.what());
    }
  }

  // Takes the next tokens of a group from the logits of its rows, and streams what they say.
  void choose(const std::vector<Generation*>& group, View<float> logits) {
    if constexpr (ChoosesTokens<B>) {
      if (std::all_of(group.begin(), group.end(), backend_can_choose)) {
        return choose_there(group, logits);
      }
    }
    const View<float> here = loaded_->backend.download(logits);
    std::int64_t row = 0;
    for (Generation* g : group) {
      const std::int64_t count = g->decode_rows();
      guarded(*g, [&] {
        g->advance(here.slice_rows(row, count), eos_, [this](const Sequence& parent, auto tokens) {
          make_room(1);
          return fork(parent, tokens);
        });
        say_new(*g);
      });
      row += count;
    }
  }

  static bool backend_can_choose(const Generation* g) {
    const Sampling& how = g->request.sampling;
    return how.num_beams <= 1 &&
           B::can_choose({.temperature = how.temperature, .top_k = how.top_k});
  }

  // The same where the logits are.
  void choose_there(const std::vector<Generation*>& group, View<float> logits) {
    std::vector<TokenChoice> choices;
    for (Generation* g : group) {
      const auto more = g->choices();
      choices.insert(choices.end(), more.begin(), more.end());
    }
    auto tokens = loaded_->backend.choose(logits, choices);
    for (Generation* g : group) {
      const auto count = static_cast<std::size_t>(g->decode_rows());
      guarded(*g, [&] {
        g->advance(tokens.first(count), eos_);
        say_new(*g);
      });
      tokens = tokens.subspan(count);
    }
  }

  void say_new(Generation& g) {
    if (g.request.sampling.num_beams > 1) return;  // the answer is known at the end
    const auto& tokens = g.hypotheses.front().tokens;
    for (; g.said < tokens.size(); ++g.said) {
      say(g, g.utf8.push(tokenizer_.token_bytes(tokens[g.said])));
    }
  }

  void say(Generation& g, const std::string& piece) {
    if (piece.empty()) return;
    g.text += piece;
    if (g.request.on_text) g.request.on_text(piece);
  }

  // Hands over an answer and keeps its cache for later prompts.
  void retire(Generation& g) {
    if (g.request.sampling.num_beams > 1) {
      for (const std::int32_t token : g.answer) say(g, g.utf8.push(tokenizer_.token_bytes(token)));
    }
    say(g, g.utf8.finish());
    keep(g);
    const Result result = g.take_result();
    const bool whole = result.outcome == Outcome::kStop || result.outcome == Outcome::kLength;
    if (g.request.live && whole && !result.unchanged) {
      views_.remember(g.request.live->id,
                      {g.ids, result.tokens, result.text, result.outcome, g.seen});
    }
    if (g.request.on_done) g.request.on_done(result);
  }

  void keep(Generation& g) {
    if (g.outcome == Outcome::kFailed || !g.prefill_done() || g.hypotheses.empty()) return;
    Hypothesis& first = g.hypotheses.front();
    for (const std::int32_t token : first.tokens)
      g.keys.push_back(static_cast<std::uint64_t>(token));
    g.keys.resize(static_cast<std::size_t>(first.sequence.length()));
    prefixes_.insert(std::move(g.keys), std::move(first.sequence));
  }

  // Cache --------------------------------------------------------------------------------------

  void make_room(std::int64_t pages) {
    while (pool_.free_pages() < pages && !prefixes_.empty()) prefixes_.drop_oldest();
    if (pool_.free_pages() < pages) throw Error("the KV cache of {} pages is full", pool_pages_);
  }

  Sequence fork(const Sequence& parent, std::int64_t tokens) {
    return parent.fork(tokens, [this](std::int32_t from, std::int32_t to) {
      loaded_->backend.copy_page(cache_, from, to);
    });
  }

  // Image positions have the highest bit set, so that they never equal a token.
  static std::uint64_t image_key(std::uint64_t hash, std::int64_t i) {
    return (hash + static_cast<std::uint64_t>(i)) | (std::uint64_t{1} << 63);
  }

  static double since(Generation::Clock::time_point start) {
    return std::chrono::duration<double>(Generation::Clock::now() - start).count();
  }

  std::unique_ptr<LoadedModel<B>> loaded_;
  Tokenizer tokenizer_;
  EngineInfo info_;

  PagePool pool_;  // of the engine's thread, as is what follows the scheduler
  std::int64_t pool_pages_;
  PassLimits limits_;
  LiveViews views_;
  std::atomic<RequestId> next_id_ = 1;
  Scheduler scheduler_;

  typename B::Cache cache_;
  std::vector<std::int32_t> eos_;
  PrefixCache prefixes_;
  std::optional<Reading> reading_;
  std::vector<std::uint8_t> pixels_;  // of its images, [images, side, side, 3]
  View<E> encoded_;                   // what they become

  std::thread thread_;
};

}  // namespace fvlm
