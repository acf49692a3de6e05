// FLOPs and memory traffic of encoder, prefill and decode, from the backend without data: with the
// machine's peaks, the roofline that benchmarks compare times with.
#pragma once

#include <cstdint>

#include "fvlm/models/fastvlm.hpp"
#include "kernels/plan/plan.hpp"
#include "runtime/checkpoint/weights.hpp"

namespace fvlm {

struct ModelWork {
  Operation encoder;  // one image through encoder and projector
  Operation prefill;  // `prompt_rows` positions through the decoder, logits of the last
  Operation decode;   // a decode step of one sequence
};

// `load(trace, model)` gives a model its weights without data.
template <class Load>
ModelWork model_work(const FastVlmConfig& config, std::int64_t prompt_rows,
                     const FormatChoice& formats, const Load& load) {
  const auto traced = [&](const auto& pass) {
    WorkCounter trace(formats);
    FastVlm<WorkCounter> model(config);
    load(trace, model);
    WorkCounter::Context context = WorkCounter::make_context();
    pass(trace, context, model);
    return trace.sink().total();
  };
  const std::int64_t hidden = config.text.hidden_size;
  const auto decoder_pass = [&](std::int64_t rows, std::int64_t position) {
    return traced(
        [&](WorkCounter& trace, WorkCounter::Context& context, FastVlm<WorkCounter>& model) {
          CacheShape cache;
          DecoderBatch batch;
          batch.add(rows, position, {});
          const View<float> x{nullptr, rows, hidden, hidden};
          model.decoder.forward(trace, context, batch, cache, x);
          model.decoder.logits(trace, context, x.slice_rows(rows - 1, 1),
                               {nullptr, 1, config.text.vocab_size, config.text.vocab_size});
        });
  };
  return {
      traced([&](WorkCounter& trace, WorkCounter::Context& context, FastVlm<WorkCounter>& model) {
        const std::int64_t side = config.vision.image_size;
        const std::int64_t tokens = config.vision.tokens();
        model.embed_images(trace, context, {nullptr, 1, side, side, 3},
                           {nullptr, tokens, hidden, hidden});
      }),
      decoder_pass(prompt_rows, 0), decoder_pass(1, prompt_rows)};
}

inline ModelWork model_work(const Checkpoint& checkpoint, std::int64_t prompt_rows,
                            const FormatChoice& formats) {
  return model_work(checkpoint.config(), prompt_rows, formats,
                    [&](WorkCounter& trace, FastVlm<WorkCounter>& model) {
                      ShapeLoader<WorkCounter> shapes(trace, &checkpoint);
                      model.visit(shapes);
                    });
}

}  // namespace fvlm
