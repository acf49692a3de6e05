// Samples the next token of an answer from logits. The steps are in the order of Hugging Face
// generate (see Sampling). Penalties apply to tokens of the answer only: the prompt enters the
// model as embeddings, and generate sees no tokens of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <span>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/ops/sampling.hpp"
#include "runtime/engine/logit_adjustments.hpp"

namespace fvlm {

// Logits that are infinite or not numbers must upset neither the order of the tokens nor sums.
void make_finite(std::span<float> logits);
// The logarithm of the sum of the exponentials of finite logits.
double log_sum_of(std::span<const float> logits);

class Sampler {
 public:
  // `allowed` is as in SamplingParams: a bit for each token, or none.
  using TokenMask = std::span<const std::uint32_t>;

  Sampler(const Sampling& sampling, std::uint64_t seed)
      : sampling_(sampling), adjustments_(sampling), random_(seed) {}

  // The token that follows those of the answer so far. `logits` [vocab] are changed.
  std::int32_t sample(std::span<float> logits, TokenMask allowed = {});
  // The answer goes on with this token.
  void append(std::int32_t token) { adjustments_.add(token); }

  // The parameters of that, for a backend that samples on the device: of the token after the
  // answer, and after each of the proposed ones that might follow it. They live until the next
  // call. advance() says how many of these draws were used; the rest are used again.
  std::vector<SamplingParams> params(std::span<const std::int32_t> proposed = {});
  void advance(std::size_t count);

  // For beam search: scores, which are log probabilities after adjustments and temperature
  // (generate does not make them probabilities again), of the `count` continuations of the answer
  // `history` to consider: the best, or drawn without replacement if the temperature is not 0.
  // Those with the largest score + noise among the candidates of several beams are then a draw from
  // all of them.
  struct Candidate {
    std::int32_t token;
    double score;
    double noise = 0;
  };
  std::vector<Candidate> candidates(std::span<float> logits, std::span<const std::int32_t> history,
                                    std::size_t count, TokenMask allowed = {});

 private:
  // Tokens that may be chosen, with their logits after temperature, less the largest.
  struct Distribution {
    std::vector<Candidate> tokens;
    double largest;
    double log_sum;  // of the exponentials of the tokens' scores
  };
  // Of adjusted logits.
  Distribution distribution(std::span<float> logits, TokenMask allowed) const;

  // The draw, uniform in [0, 1), after `ahead` others.
  double draw(std::size_t ahead);

  Sampling sampling_;
  LogitAdjustments adjustments_;
  std::vector<std::vector<LogitAdjustment>> rows_;  // what params() refers to
  std::mt19937_64 random_;
  std::deque<double> draws_;  // made ahead
};

}  // namespace fvlm
