// A layer norm and the matrix that reads it: in one kernel where the backend has that, else two
// operations.
#pragma once

#include "fvlm/core/view.hpp"
#include "fvlm/ops/backend.hpp"

namespace fvlm {

// out = layer_norm(in) W^T + b: in, normed [rows, channels], out [rows, out]. `normed` is scratch
// memory. A backend may have a member of this name, without `normed`, that says whether it did it.
template <EncoderBackend B>
void normed_linear(B& backend, typename B::Context& context, View<const typename B::Element> in,
                   const typename B::Norm& norm, const typename B::Linear& linear,
                   View<typename B::Element> normed, View<typename B::Element> out) {
  if constexpr (requires { backend.normed_linear(context, in, norm, linear, out); }) {
    if (backend.normed_linear(context, in, norm, linear, out)) return;
  }
  backend.layer_norm(context, in, norm, normed);
  backend.linear(context, normed, linear, {}, out);
}

}  // namespace fvlm
