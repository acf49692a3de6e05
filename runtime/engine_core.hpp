// The engine over one backend: a thread that takes requests in, prefills them one after the other
// and decodes all that are running together, one token each per step.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/engine.hpp"
#include "runtime/generation.hpp"
#include "runtime/image_processor.hpp"
#include "runtime/loaded_model.hpp"
#include "runtime/prefix_cache.hpp"
#include "runtime/prompt.hpp"
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
        max_waiting_(max_waiting),
        pool_(kCachedContexts * ((info_.context_tokens + kPageTokens - 1) / kPageTokens)),
        pool_pages_(pool_.free_pages()),
        cache_(loaded_->backend.make_cache(loaded_->model.decoder.cache_shape(pool_pages_))),
        eos_(loaded_->config.text.eos_tokens) {
    for (const char* end : {"<|im_end|>", "<|endoftext|>"}) {
      if (const auto id = tokenizer_.special_token(end)) eos_.push_back(*id);
    }
    thread_ = std::thread([this] { work(); });
  }

  ~EngineCore() override {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
      for (auto& generation : waiting_) generation->stop.request_stop();
      for (auto& [id, stop] : stops_) stop.request_stop();
    }
    wake_.notify_all();
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
    {
      const std::lock_guard lock(mutex_);
      if (std::ssize(waiting_) >= max_waiting_)
        throw Busy("{} requests wait already; try again later", waiting_.size());
      stops_.emplace_back(id, generation->stop);
      waiting_.push_back(std::move(generation));
    }
    wake_.notify_all();
    return id;
  }

  void cancel(RequestId id) override {
    const std::lock_guard lock(mutex_);
    for (auto& [known, stop] : stops_) {
      if (known == id) stop.request_stop();
    }
    wake_.notify_all();
  }

  void end_live(std::uint64_t) override {}

  EngineCounters counters() const override {
    const std::lock_guard lock(mutex_);
    return counters_;
  }

  const EngineInfo& info() const override { return info_; }

 private:
  using GenerationPtr = std::unique_ptr<Generation>;

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

  void work() {
    while (true) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [&] { return closing_ || !waiting_.empty() || !running_.empty(); });
        if (closing_ && waiting_.empty() && running_.empty()) return;
        admit();
      }
      // One piece of one prompt, then one step of everything that has its prompt behind it, so that
      // running answers are not starved by new requests.
      for (const GenerationPtr& g : running_) {
        if (g->outcome || g->prefill_done()) continue;
        guarded(*g, [&] { prefill(*g); });
        break;
      }
      end_cancelled();
      decode_step();
      retire();
    }
  }

  // Moves waiting requests to the running ones while the cache has room for them.
  void admit() {
    std::int64_t reserved = 0;
    for (const GenerationPtr& g : running_) reserved += g->reserved_pages;
    while (!waiting_.empty() && reserved + waiting_.front()->reserved_pages <= pool_pages_) {
      reserved += waiting_.front()->reserved_pages;
      running_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    // Those that were cancelled before their turn come in only to be answered.
    for (GenerationPtr& g : waiting_) {
      if (!g->stop.stop_requested()) continue;
      g->end(Outcome::kCancelled);
      running_.push_back(std::move(g));
    }
    std::erase(waiting_, nullptr);
  }

  // Whichever stage a request is in, and whatever stands before it, a cancelled one goes no
  // further.
  void end_cancelled() {
    for (const GenerationPtr& g : running_) {
      if (!g->outcome && g->stop.stop_requested()) g->end(Outcome::kCancelled);
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
    const std::int64_t side = loaded_->config.vision.image_size;
    for (const Turn& turn : g.request.conversation) {
      for (const Image& image : turn.images) {
        PreparedImage& prepared = g.images.emplace_back();
        prepared.pixels.resize(static_cast<std::size_t>(side * side * 3));
        pad_and_resize(image, side, info_.threads, prepared.pixels);
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

  // Runs the next piece of the prompt: as many tokens and whole images as one pass takes.
  void prefill(Generation& g) {
    const std::stop_token stop = g.stop.get_token();
    if (g.hypotheses.empty()) {
      prepare(g);
      stop_if_requested(stop);
    }
    B& backend = loaded_->backend;
    const auto& model = loaded_->model;
    const Arena::Scope scope(backend.arena());
    const std::int64_t limit = max_prefill_rows(loaded_->config);
    const std::int64_t side = loaded_->config.vision.image_size;
    auto start = Generation::Clock::now();

    const auto all = backend.arena().template matrix<E>(limit, loaded_->config.text.hidden_size);
    std::int64_t rows = 0;
    for (const PromptSpan& span : g.spans) {
      const std::int64_t done = std::max(g.prefilled + rows - span.position, std::int64_t{0});
      if (done >= span.rows) continue;
      if (span.image >= 0) {
        if (rows + span.rows > limit) break;
        const auto& pixels = g.images[static_cast<std::size_t>(span.image)].pixels;
        const Arena::Scope image_scope(backend.arena());
        model.embed_images(backend, backend.upload({pixels.data(), 1, side, side, 3}),
                           all.slice_rows(rows, span.rows), stop);
        rows += span.rows;
      } else {
        const std::int64_t count = std::min(span.rows - done, limit - rows);
        model.decoder.embed(backend,
                            std::span(g.ids).subspan(static_cast<std::size_t>(span.first_id + done),
                                                     static_cast<std::size_t>(count)),
                            all.slice_rows(rows, count));
        rows += count;
      }
      if (rows == limit) break;
    }
    const auto x = all.slice_rows(0, rows);
    backend.synchronize();  // so that the time is the encoder's
    g.statistics.encode_s += since(start);

    start = Generation::Clock::now();
    Sequence& sequence = g.hypotheses.front().sequence;
    make_room(sequence.pages_needed(rows));
    sequence.extend(rows);
    DecoderBatch batch;
    batch.add(rows, g.prefilled, sequence.pages());
    model.decoder.forward(backend, batch, cache_, x, stop);
    g.prefilled += rows;
    if (g.prefill_done()) {
      const auto logits =
          backend.arena().template matrix<float>(1, loaded_->config.text.vocab_size);
      model.decoder.logits(backend, x.slice_rows(rows - 1, 1), logits);
      choose(g, backend.download(logits));
    }
    g.statistics.prefill_s += since(start);
  }

  // Decode -------------------------------------------------------------------------------------

  bool decodes(const Generation& g) const { return !g.outcome && g.prefill_done(); }

  // One token more for every hypothesis of every generation that has its prompt behind it.
  void decode_step() {
    std::vector<Generation*> group;
    std::int64_t rows = 0;
    const auto flush = [&] {
      try {
        if (rows > 0) decode(group, rows);
      } catch (const std::exception& e) {
        for (Generation* g : group) fail(*g, e.what());
      }
      group.clear();
      rows = 0;
    };
    for (const GenerationPtr& g : running_) {
      if (!decodes(*g)) continue;
      const std::int64_t more = std::ssize(g->hypotheses);
      if (rows + more > kMaxDecodeRows) flush();
      group.push_back(g.get());
      rows += more;
    }
    flush();
  }

  void decode(const std::vector<Generation*>& group, std::int64_t rows) {
    B& backend = loaded_->backend;
    const Arena::Scope scope(backend.arena());
    const auto& text = loaded_->config.text;
    const auto x = backend.arena().template matrix<E>(rows, text.hidden_size);
    const auto logits = backend.arena().template matrix<float>(rows, text.vocab_size);
    std::vector<std::int32_t> ids;
    DecoderBatch batch;
    for (Generation* g : group) {
      for (Hypothesis& h : g->hypotheses) {
        const std::int64_t position = h.sequence.length();
        make_room(h.sequence.pages_needed(1));
        h.sequence.extend(1);
        ids.push_back(h.tokens.back());
        batch.add(1, position, h.sequence.pages());
      }
    }
    loaded_->model.decoder.embed(backend, ids, x);
    loaded_->model.decoder.forward(backend, batch, cache_, x);
    loaded_->model.decoder.logits(backend, x, logits);
    const View<float> chosen_from = backend.download(logits);
    std::int64_t row = 0;
    for (Generation* g : group) {
      const std::int64_t count = std::ssize(g->hypotheses);
      guarded(*g, [&] { choose(*g, chosen_from.slice_rows(row, count)); });
      row += count;
    }
  }

  // Takes the next tokens and streams what they say.
  void choose(Generation& g, View<float> logits) {
    g.advance(logits, eos_, [this](const Sequence& parent, std::int64_t tokens) {
      make_room(1);
      return fork(parent, tokens);
    });
    const bool stream = g.request.sampling.num_beams <= 1;
    if (stream && (!g.outcome || g.outcome == Outcome::kLength)) {
      say(g, g.utf8.push(tokenizer_.token_bytes(g.hypotheses.front().tokens.back())));
    }
  }

  void say(Generation& g, const std::string& piece) {
    if (piece.empty()) return;
    g.text += piece;
    if (g.request.on_text) g.request.on_text(piece);
  }

  // Hands over the answers of generations that ended and keeps their caches for later prompts.
  void retire() {
    for (auto it = running_.begin(); it != running_.end();) {
      Generation& g = **it;
      if (!g.outcome) {
        ++it;
        continue;
      }
      if (g.request.sampling.num_beams > 1) {
        for (const std::int32_t token : g.answer)
          say(g, g.utf8.push(tokenizer_.token_bytes(token)));
      }
      say(g, g.utf8.finish());
      keep(g);
      Result result = g.take_result();
      const auto on_done = std::move(g.request.on_done);
      forget(g.id);
      it = running_.erase(it);
      if (on_done) on_done(result);
    }
  }

  void keep(Generation& g) {
    if (g.outcome == Outcome::kFailed || !g.prefill_done() || g.hypotheses.empty()) return;
    Hypothesis& first = g.hypotheses.front();
    for (const std::int32_t token : first.tokens)
      g.keys.push_back(static_cast<std::uint64_t>(token));
    g.keys.resize(static_cast<std::size_t>(first.sequence.length()));
    prefixes_.insert(std::move(g.keys), std::move(first.sequence));
  }

  void forget(RequestId id) {
    const std::lock_guard lock(mutex_);
    std::erase_if(stops_, [&](const auto& entry) { return entry.first == id; });
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
  std::int64_t max_waiting_;

  // Of the engine's thread.
  PagePool pool_;
  std::int64_t pool_pages_;
  typename B::Cache cache_;
  std::vector<std::int32_t> eos_;
  PrefixCache prefixes_;
  std::list<GenerationPtr> running_;

  // Shared, under the mutex.
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  EngineCounters counters_;
  std::deque<GenerationPtr> waiting_;
  std::vector<std::pair<RequestId, std::stop_source>>
      stops_;  // of all requests that have not ended
  bool closing_ = false;

  std::atomic<RequestId> next_id_ = 1;
  std::thread thread_;
};

}  // namespace fvlm
