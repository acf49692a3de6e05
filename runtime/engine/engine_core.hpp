// The engine over a runner: a thread that runs what the scheduler lets in, all of it together.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "fvlm/engine.hpp"
#include "runtime/engine/generation.hpp"
#include "runtime/engine/grammar_library.hpp"
#include "runtime/engine/kv_cache.hpp"
#include "runtime/engine/live_views.hpp"
#include "runtime/engine/model_passes.hpp"
#include "runtime/engine/prefill_batch.hpp"
#include "runtime/engine/runner.hpp"
#include "runtime/engine/scheduler.hpp"
#include "runtime/tokenizer/tokenizer.hpp"

namespace fvlm {

class EngineCore final : public Engine {
 public:
  EngineCore(std::unique_ptr<ModelRunner> runner, Tokenizer tokenizer, EngineInfo info,
             std::int64_t max_waiting);
  ~EngineCore() override;

  PreparedImage prepare(ImageReader& reader) override;
  RequestId submit(Request request) override;
  void cancel(RequestId id) override { scheduler_.cancel(id); }
  void end_live(std::uint64_t view) override { views_.end(view); }
  EngineCounters counters() const override { return scheduler_.counters(); }
  const EngineInfo& info() const override { return info_; }

 private:
  std::int64_t side() const { return runner_->config().vision.image_size; }
  PromptLayout layout(Request& request) const;
  Generation::Budget budget(const PromptLayout& prompt, const Sampling& sampling) const;

  void work();
  void end_cancelled();
  void prepare_queued();
  const Generation* running_with_prompt_of(const Generation& g) const;
  void prefill();
  bool decodes_any() const;
  template <class Work>
  bool guarded_batch(const Work& part);
  void decode();
  bool repeat_unchanged(Generation& g);
  void say_new(Generation& g) const;
  void say_new() const;
  void count();
  void retire(Generation& g);
  void keep_cached(Generation& g);

  std::unique_ptr<ModelRunner> runner_;
  Tokenizer tokenizer_;
  EngineInfo info_;
  LiveViews views_;
  std::atomic<RequestId> next_id_ = 1;

  // Of the engine's thread, but for the scheduler.
  GrammarLibrary grammars_;
  KvCache cache_;
  ModelPasses passes_;
  Scheduler scheduler_;
  std::optional<PrefillBatch> prefill_batch_;  // its images are encoded, or being so

  std::thread thread_;
};

}  // namespace fvlm
