// The projector "mlp2x_gelu": Linear, GELU, Linear from image features to decoder embeddings.
#pragma once

#include <cstdint>

#include "fvlm/models/module.hpp"
#include "fvlm/ops/backend.hpp"

namespace fvlm {

template <EncoderBackend B>
class Projector {
 public:
  using E = typename B::Element;

  Projector(std::int64_t features, std::int64_t hidden)
      : in_({.in = features, .parts = {{"", hidden}}, .rows = Rows::kTokens}),
        out_({.in = hidden, .parts = {{"", hidden}}, .rows = Rows::kTokens}) {}

  template <class V>
  void visit(V& visitor) {
    visitor("0", in_);
    visitor("2", out_);
  }

  // features [tokens, 2 C] -> out [tokens, hidden].
  void run(B& backend, typename B::Context& context, View<const E> features, View<E> out) const {
    const Arena::Scope scope(context.arena());
    const auto hidden = context.arena().template matrix<E>(features.rows, in_.spec.out());
    backend.linear(context, features, in_.weights, {.activation = Activation::kGelu}, hidden);
    backend.linear(context, hidden, out_.weights, {}, out);
  }

 private:
  Linear<B> in_;
  Linear<B> out_;
};

}  // namespace fvlm
