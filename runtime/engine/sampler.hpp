// Samples the next token from logits. The steps are in the order of Hugging Face generate:
// repetition penalty, temperature, top-k, top-p, draw. The penalty applies to tokens of the answer
// only: the prompt enters the model as embeddings, and generate sees no tokens of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <span>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/ops/sampling.hpp"

namespace fvlm {

class Sampler {
 public:
  Sampler(const Sampling& sampling, std::uint64_t seed) : sampling_(sampling), random_(seed) {}

  // The next token. `logits` [vocab] are changed; `history` is the answer so far, whose tokens'
  // logits the repetition penalty lowers.
  std::int32_t sample(std::span<float> logits, std::span<const std::int32_t> history);

  // The parameters of that, for a backend that samples on the device: the one that sample() would
  // make after `ahead` others. advance() says how many of them were accepted; the draws of the rest
  // are used again.
  SamplingParams params(std::span<const std::int32_t> history, std::size_t ahead);
  void advance(std::size_t count);

  // For beam search: scores, which are log probabilities after penalty and temperature (generate
  // does not make them probabilities again), of the `count` continuations to consider: the best, or
  // drawn without replacement if the temperature is not 0. Those with the largest score + noise
  // among the candidates of several beams are then a draw from all of them.
  struct Candidate {
    std::int32_t token;
    double score;
    double noise = 0;
  };
  std::vector<Candidate> candidates(std::span<float> logits, std::span<const std::int32_t> history,
                                    std::size_t count);

 private:
  // Tokens that may be chosen, in no order, with their logits after penalty and temperature.
  struct Distribution {
    std::vector<Candidate> tokens;
    double log_sum;  // of their exponentials
  };
  Distribution distribution(std::span<float> logits, std::span<const std::int32_t> history) const;

  // The draw, uniform in [0, 1), after `ahead` others.
  double draw(std::size_t ahead);

  Sampling sampling_;
  std::mt19937_64 random_;
  std::deque<double> draws_;  // made ahead
};

}  // namespace fvlm
