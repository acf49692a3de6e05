// FastVLM: image encoder, projector and decoder, under the names of LLaVA's checkpoints.
#pragma once

#include <type_traits>

#include "fvlm/models/config.hpp"
#include "fvlm/models/fastvithd.hpp"
#include "fvlm/models/projector.hpp"
#include "fvlm/models/qwen2.hpp"

namespace fvlm {

template <Backend B>
struct FastVlm {
  FastViTHD<B> vision;
  Projector<B> projector;
  Qwen2<B> decoder;

  explicit FastVlm(const FastVlmConfig& config)
      : vision(config.vision),
        projector(config.vision.output_channels(), config.text.hidden_size),
        decoder(config.text) {}

  template <class V>
  void visit(V& visitor) {
    visitor("model.vision_tower.vision_tower.model", vision);
    visitor("model.mm_projector", projector);
    decoder.visit(visitor);
  }

  // pixels [n, S, S, 3] -> out [n * tokens, hidden]: embeddings for the image's place in a prompt.
  template <class Observer = NoObserver>
  void embed_images(B& backend, typename B::Context& context, FeatureMap<const std::uint8_t> pixels,
                    View<typename B::Element> out, const std::stop_token& stop = {},
                    const Observer& observe = {}) const {
    const auto pass = [&] {
      const Arena::Scope scope(context.arena());
      const auto& config = vision.config();
      const auto features = context.arena().template matrix<typename B::Element>(
          pixels.batch * config.tokens(), config.output_channels());
      vision.encode(backend, context, pixels, features, stop, observe);
      projector.run(backend, context, features, out);
    };
    if constexpr (std::is_same_v<Observer, NoObserver>) {
      backend.run_pass(context, pixels, out, pass);
    } else {
      pass();  // an observer may look at every stage
    }
  }
};

}  // namespace fvlm
