// Modules and visitors. A module is a struct with `visit(visitor)`, which names its children as
// LLaVA's checkpoint does; the leaves are parameters: a spec (what is stored) and the weights in
// the backend's own form. A visitor is a class derived from Visitor with `leaf(path, parameter)`.
#pragma once

#include <cstddef>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "fvlm/ops/spec.hpp"

namespace fvlm {

// Thrown out of a forward pass whose stop token was triggered.
struct Stopped {};

inline void stop_if_requested(const std::stop_token& stop) {
  if (stop.stop_requested()) throw Stopped{};
}

template <class Spec, class Weights>
struct Parameter {
  Spec spec;
  Weights weights{};

  explicit Parameter(Spec s) : spec(std::move(s)) {}
};

template <class B>
using Linear = Parameter<LinearSpec, typename B::Linear>;
template <class B>
using Depthwise = Parameter<DepthwiseSpec, typename B::Depthwise>;
template <class B>
using Stem = Parameter<StemSpec, typename B::Stem>;
template <class B>
using Norm = Parameter<NormSpec, typename B::Norm>;

template <class T>
inline constexpr bool kIsParameter = false;
template <class Spec, class Weights>
inline constexpr bool kIsParameter<Parameter<Spec, Weights>> = true;

// Keeps the path during the traversal. Derived may also have `enter(path)` and `exit()`, called
// around the children of a module.
template <class Derived>
class Visitor {
 public:
  template <class Module>
  void operator()(std::string_view name, Module& module) {
    const std::size_t length = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += name;
    if constexpr (kIsParameter<Module>) {
      derived().leaf(path_, module);
    } else {
      if constexpr (requires { derived().enter(path_); }) derived().enter(path_);
      module.visit(*this);
      if constexpr (requires { derived().exit(); }) derived().exit();
    }
    path_.resize(length);
  }

 private:
  Derived& derived() { return static_cast<Derived&>(*this); }

  std::string path_;
};

}  // namespace fvlm
