// From logits to the tokens of an answer, without a model: made-up distributions whose best answers
// are known, and a stand-in for the KV cache that shows what each beam would have read.
#include "runtime/engine/answer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fvlm {
namespace {

using Ids = std::vector<std::int32_t>;
using Logits = std::vector<float>;
// Says what comes after these new tokens.
using Model = std::function<Logits(const Ids&)>;

constexpr std::int32_t kVocabulary = 5;
constexpr std::int32_t kEos = 4;

// Logits between -2 and 2 that depend on every token so far.
Logits scrambled(const Ids& tokens, std::uint64_t seed) {
  std::uint64_t state = seed;
  const auto next = [&](std::uint64_t word) {
    state = (state ^ word) * 0x9e3779b97f4a7c15U;
    return state ^= state >> 31;
  };
  for (const std::int32_t token : tokens) next(static_cast<std::uint64_t>(token) + 1);
  Logits logits;
  for (std::uint64_t v = 0; v < kVocabulary; ++v)
    logits.push_back(static_cast<float>(next(v + 100) % 4096) / 1024.0F - 2);
  return logits;
}

// The same, but never ends.
Logits endless(const Ids& tokens, std::uint64_t seed) {
  Logits logits = scrambled(tokens, seed);
  logits[kEos] = -100;
  return logits;
}

Model from_probabilities(std::map<Ids, std::vector<double>> table) {
  return [table = std::move(table)](const Ids& tokens) {
    Logits logits;
    for (const double p : table.at(tokens)) logits.push_back(static_cast<float>(std::log(p)));
    return logits;
  };
}

// How an answer ended, and the work that it took.
struct Ended {
  Ids tokens;
  Outcome outcome;
  std::int64_t chosen;
  std::int64_t drafted;
  std::int64_t accepted;
};

// Makes an answer as the engine does, with pages whose cells hold token ids.
class Rehearsal {
 public:
  Rehearsal(Model model, Sampling sampling, std::int64_t prompt_tokens = 70)
      : model_(std::move(model)),
        prompt_(static_cast<std::size_t>(prompt_tokens), kPrompt),
        answer_(sampling, sampling.max_new_tokens, sampling.seed.value_or(0)) {
    Sequence sequence(pool_);
    write(sequence, prompt_);
    answer_.begin(std::move(sequence));
  }

  Ended finish() {
    auto outcome = advance();
    while (!outcome) outcome = step();
    check_caches();
    return {answer_.tokens(), *outcome, answer_.chosen_tokens(), answer_.drafted_tokens(),
            answer_.accepted_tokens()};
  }

  // One decode step: each hypothesis reads its cache and is given logits for what comes next.
  std::optional<Outcome> step() {
    if (answer_.has_draft()) answer_.propose(1000);
    for (Hypothesis& h : answer_.hypotheses()) {
      Ids rows = {h.tokens.back()};
      rows.insert(rows.end(), answer_.proposed().begin(), answer_.proposed().end());
      write(h.sequence, rows);
    }
    ++steps_;
    const auto outcome = advance();
    check_caches();
    return outcome;
  }
  int steps() const { return steps_; }

  // Every hypothesis must find the prompt and its own tokens in its pages.
  void check_caches() {
    for (const Hypothesis& h : answer_.hypotheses()) {
      Ids expected = prompt_;
      expected.insert(expected.end(), h.tokens.begin(), h.tokens.end());
      expected.resize(static_cast<std::size_t>(h.sequence.length()));
      Ids found;
      for (std::int64_t i = 0; i < h.sequence.length(); ++i) found.push_back(cell(h.sequence, i));
      ASSERT_EQ(found, expected);
    }
  }

  std::optional<Outcome> advance() {
    Logits logits;
    for (const Hypothesis& h : answer_.hypotheses()) {
      Ids tokens = h.tokens;
      for (std::int64_t row = 0;; ++row) {
        const Logits next = model_(tokens);
        logits.insert(logits.end(), next.begin(), next.end());
        if (row == std::ssize(answer_.proposed())) break;
        tokens.push_back(answer_.proposed()[static_cast<std::size_t>(row)]);
      }
    }
    const auto rows = std::ssize(logits) / kVocabulary;
    return answer_.advance({logits.data(), rows, kVocabulary, kVocabulary}, std::vector{kEos},
                           [this](const Sequence& parent, std::int64_t tokens) {
                             return parent.fork(tokens, [this](std::int32_t from, std::int32_t to) {
                               std::copy_n(&cells_[index(from)], kPageTokens, &cells_[index(to)]);
                             });
                           });
  }

  Answer& answer() { return answer_; }
  // Pages that would be left if the answer went.
  std::int64_t leaked() {
    answer_.hypotheses().clear();
    return kPages - pool_.free_pages();
  }

 private:
  static constexpr std::int64_t kPages = 2000;
  static constexpr std::int32_t kPrompt = 0;

  static std::size_t index(std::int64_t page) {
    return static_cast<std::size_t>(page * kPageTokens);
  }
  std::int32_t& cell(const Sequence& sequence, std::int64_t i) {
    return cells_[index(sequence.pages()[static_cast<std::size_t>(i / kPageTokens)]) +
                  static_cast<std::size_t>(i % kPageTokens)];
  }
  void write(Sequence& sequence, const Ids& tokens) {
    const std::int64_t start = sequence.length();
    sequence.extend(std::ssize(tokens));
    for (std::int64_t i = 0; i < std::ssize(tokens); ++i)
      cell(sequence, start + i) = tokens[static_cast<std::size_t>(i)];
  }

  PagePool pool_{kPages};
  std::vector<std::int32_t> cells_ =
      std::vector<std::int32_t>(static_cast<std::size_t>(kPages * kPageTokens));
  Model model_;
  Ids prompt_;
  Answer answer_;
  int steps_ = 0;
};

// Drafts -----------------------------------------------------------------------------------------

// The answer with a draft, which must be the one without; the number of steps it took.
int steps_with_draft(const Model& model, const Sampling& sampling, const Ids& draft) {
  const Ended plain = Rehearsal(model, sampling).finish();
  Rehearsal rehearsal(model, sampling);
  rehearsal.answer().set_draft(Draft(draft));
  const Ended result = rehearsal.finish();
  EXPECT_EQ(result.tokens, plain.tokens);
  EXPECT_EQ(result.outcome, plain.outcome);
  EXPECT_EQ(result.chosen, plain.chosen);
  EXPECT_LE(result.accepted, result.drafted);
  // Each step brings one token and those that were accepted; the first came from the prompt.
  EXPECT_EQ(rehearsal.steps() + result.accepted, result.chosen - 1);
  EXPECT_EQ(rehearsal.leaked(), 0);
  return rehearsal.steps();
}

TEST(Draft, TheAnswerIsWhatItWouldHaveBeen) {
  std::int64_t accepted = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Model model = [seed](const Ids& tokens) {
      return seed % 2 == 0 ? endless(tokens, seed) : scrambled(tokens, seed);
    };
    Sampling sampling;
    sampling.temperature = seed % 3 == 0 ? 0 : 0.7;
    sampling.repetition_penalty = seed % 5 == 0 ? 1.3 : 1;
    sampling.frequency_penalty = seed % 7 == 0 ? 0.4 : 0;
    sampling.presence_penalty = seed % 11 == 0 ? 1.5 : 0;
    sampling.min_p = seed % 4 == 1 ? 0.05 : 0;
    if (seed % 6 == 5) sampling.logit_bias = {{2, 1.5}, {5, -3}};
    sampling.max_new_tokens = 1 + static_cast<std::int64_t>(seed % 90);
    sampling.seed = seed;
    Ids draft = Rehearsal(model, sampling).finish().tokens;
    const auto whole = static_cast<int>(draft.size());
    const int right = steps_with_draft(model, sampling, draft);
    EXPECT_LE(right, whole / 8 + 1) << "the right draft must be taken eight tokens at a time";
    if (draft.size() > 4) draft[draft.size() / 2] ^= 1;  // one wrong token
    accepted += whole - steps_with_draft(model, sampling, draft);
    draft.erase(draft.begin(), draft.begin() + static_cast<std::ptrdiff_t>(draft.size() / 3));
    steps_with_draft(model, sampling, draft);
    steps_with_draft(model, sampling, Ids(40, static_cast<std::int32_t>(seed % kVocabulary)));
    steps_with_draft(model, sampling, {});
  }
  EXPECT_GT(accepted, 1000);
}

TEST(Draft, GoesOnWhereTheAnswersAgreeAgain) {
  Draft draft({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  EXPECT_EQ(draft.propose(Ids{1}, 4), (Ids{2, 3, 4, 5}));
  draft.confirm(1);  // 2 was right, then came 33
  EXPECT_EQ(draft.propose(Ids{1, 2, 33}, 4), Ids{});
  draft.confirm(0);
  EXPECT_EQ(draft.propose(Ids{1, 2, 33, 5}, 1), Ids{6});
  draft.confirm(1);
}

TEST(Draft, OfSeveralPlacesTakesTheOneThatIsExpected) {
  Draft draft({1, 2, 9, 1, 3, 9, 1, 4});
  EXPECT_EQ(draft.propose(Ids{1}, 1), Ids{2});
  EXPECT_EQ(draft.propose(Ids{9, 1}, 1), Ids{3});
  EXPECT_EQ(draft.propose(Ids{3, 9, 1}, 1), Ids{4}) << "more tokens agree";
}

TEST(Draft, ProposesLessAfterAFailureAndMoreAfterASuccess) {
  Ids earlier(100);
  for (std::size_t i = 0; i < earlier.size(); ++i) earlier[i] = static_cast<std::int32_t>(i);
  Draft draft(earlier);
  EXPECT_EQ(draft.propose(Ids{0}, 50).size(), 7U);
  draft.confirm(2);
  EXPECT_EQ(draft.propose(Ids{10}, 50).size(), 2U);
  draft.confirm(0);
  EXPECT_EQ(draft.propose(Ids{20}, 50).size(), 1U);
  draft.confirm(1);
  EXPECT_EQ(draft.propose(Ids{22}, 50).size(), 3U);
  draft.confirm(3);
  EXPECT_EQ(draft.propose(Ids{26}, 50).size(), 7U);
  EXPECT_EQ(draft.propose(Ids{98}, 50).size(), 1U);
}

Sampling beams(std::int64_t count, std::int64_t tokens) {
  Sampling sampling;
  sampling.temperature = 0;
  sampling.num_beams = count;
  sampling.max_new_tokens = tokens;
  return sampling;
}

// log softmax of one token.
double log_probability(const Logits& logits, std::int32_t token) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit});
  return logits[static_cast<std::size_t>(token)] - std::log(sum);
}

// The answer with the best mean log probability of all that end within `steps` tokens or there.
struct Best {
  Ids tokens;
  double mean = -1e300;
};
void search(const Model& model, std::int64_t steps, const Ids& tokens, double score, Best& best) {
  const auto consider = [&](const Ids& answer, double sum, std::int64_t count) {
    if (sum / static_cast<double>(count) > best.mean)
      best = {answer, sum / static_cast<double>(count)};
  };
  if (std::ssize(tokens) == steps) return consider(tokens, score, steps);
  const Logits logits = model(tokens);
  for (std::int32_t token = 0; token < kVocabulary; ++token) {
    const double sum = score + log_probability(logits, token);
    if (token == kEos) {
      consider(tokens, sum, std::ssize(tokens) + 1);
      continue;
    }
    Ids longer = tokens;
    longer.push_back(token);
    search(model, steps, longer, sum, best);
  }
}

TEST(Answer, GreedyFollowsTheLikeliestToken) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Model model = [seed](const Ids& tokens) { return scrambled(tokens, seed); };
    Ids expected;
    while (expected.size() < 30) {
      const Logits logits = model(expected);
      const auto token = static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) -
                                                   logits.begin());
      if (token == kEos) break;
      expected.push_back(token);
    }
    const Ended result = Rehearsal(model, beams(1, 30)).finish();
    EXPECT_EQ(result.tokens, expected);
    const bool stopped = expected.size() < 30;
    EXPECT_EQ(result.outcome, stopped ? Outcome::kStop : Outcome::kLength);
    EXPECT_EQ(result.chosen, std::ssize(expected) + (stopped ? 1 : 0));
  }
}

TEST(Answer, ThePenaltyKnowsTheAnswerAlone) {
  // Of equal logits the greedy choice is the first that was not chosen yet. The prompt is zeros.
  const Model model = [](const Ids&) { return Logits{1, 1, 1, 1, 0}; };
  Sampling sampling = beams(1, 4);
  sampling.repetition_penalty = 1.1;
  const Ended result = Rehearsal(model, sampling).finish();
  EXPECT_EQ(result.tokens, (Ids{0, 1, 2, 3}));
}

TEST(Answer, KeepsWhatThereIsBeforeItsEnd) {
  Rehearsal run([](const Ids&) { return Logits{1, 0, 0, 0, 0}; }, beams(1, 100));
  EXPECT_FALSE(run.advance());
  EXPECT_FALSE(run.step());
  EXPECT_EQ(run.answer().tokens(), (Ids{0, 0}));
}

TEST(BeamSearch, WithRoomForEverythingFindsTheBestAnswer) {
  int ended = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Model model = [seed](const Ids& tokens) { return scrambled(tokens, seed); };
    Best best;
    search(model, 3, {}, 0, best);
    Rehearsal run(model, beams(64, 3));  // 4 x 4 x 4 answers that do not end
    EXPECT_EQ(run.finish().tokens, best.tokens) << "seed " << seed;
    EXPECT_EQ(run.leaked(), 0);
    if (best.tokens.size() < 3) ++ended;
  }
  EXPECT_GT(ended, 5);  // both kinds of answers were there
  EXPECT_LT(ended, 45);
}

TEST(BeamSearch, FindsWhatGreedyMisses) {
  const double no = 1e-6;
  const Model model = from_probabilities({{{}, {0.6, 0.4, no, no, no}},
                                          {{0}, {0.3, 0.3, 0.2, 0.1, 0.1}},
                                          {{1}, {no, no, 0.99, no, no}}});
  EXPECT_EQ(Rehearsal(model, beams(1, 2)).finish().tokens, (Ids{0, 0}));
  EXPECT_EQ(Rehearsal(model, beams(2, 2)).finish().tokens, (Ids{1, 2}));
}

TEST(BeamSearch, AnEndWinsByItsMeanNotItsSum) {
  const double no = 1e-6;
  // Ending at once has the larger probability, 0.3, but the smaller mean than two tokens of 0.5.
  const Model model = from_probabilities({{{}, {0.5, 0.2, no, no, 0.3}},
                                          {{0}, {0.5, 0.2, 0.1, 0.1, 0.1}},
                                          {{1}, {0.2, 0.2, 0.2, 0.2, 0.2}}});
  const Ended result = Rehearsal(model, beams(2, 2)).finish();
  EXPECT_EQ(result.tokens, (Ids{0, 0}));
  EXPECT_EQ(result.outcome, Outcome::kLength);
}

TEST(BeamSearch, StopsWhenNothingCanBecomeBetter) {
  const double no = 1e-6;
  const Model model = [&](const Ids& tokens) {
    const bool first = tokens.empty();
    Logits logits;
    for (const double p :
         first ? std::vector{0.5, 0.48, no, no, no} : std::vector{0.01, 0.01, no, no, 0.97}) {
      logits.push_back(static_cast<float>(std::log(p)));
    }
    return logits;
  };
  const Ended result = Rehearsal(model, beams(2, 100)).finish();
  EXPECT_EQ(result.outcome, Outcome::kStop);
  EXPECT_EQ(result.tokens, (Ids{0}));
  EXPECT_EQ(result.chosen, 3);  // the second has the two ends, of unequal means
}

// Two beams have ended, and no running one has a better mean; but the best candidate that ended
// has, so the search goes on, and finds a better answer.
TEST(BeamSearch, EndedCandidatesKeepItGoing) {
  const double no = 1e-6;
  const Model model = from_probabilities({{{}, {0.5, 0.5, no, no, no}},
                                          {{0}, {no, no, 0.4, 0.1, 0.5}},
                                          {{1}, {no, no, 0.12, 0.42, 0.45}},
                                          {{0, 2}, {no, no, 0.98, no, no}},
                                          {{1, 3}, {no, no, 0.98, no, no}}});
  const Ended result = Rehearsal(model, beams(2, 3)).finish();
  EXPECT_EQ(result.tokens, (Ids{1, 3, 2}));
  EXPECT_EQ(result.outcome, Outcome::kLength);
}

// What transformers 4.48.3 answers for scrambled() with seeds 0, 1, ...: with 2, 3 and 4 beams,
// each with a penalty of 1 and of 1.3, at most 12 tokens.
TEST(BeamSearch, AnswersAsTransformersDoes) {
  const std::vector<std::string> expected[] = {
      {"2302", "20", "2302", "20", "2302", "20"},
      {"1302", "1302", "1302", "1302", "1302", "1302"},
      {"03022000", "0302", "03022000", "0302", "03022000", "0302"},
      {"03", "03", "03", "03", "03", "03"},
      {"03203", "03203", "03203", "03203", "03203", "03203"},
      {"", "", "", "", "311233300312", ""},
      {"33", "1", "33", "1", "320223221", "1"},
      {"33022000", "3302", "33022000", "3302", "33022000", "3302"},
      {"0323", "0323", "002031033131", "0323", "003113223221", "0323"},
      {"2220032", "2122", "222032102", "2122", "222032102", "2122"},
      {"001033", "001033", "001033", "001033", "001033", "001033"},
      {"1323", "1323", "1323", "1323", "102031033131", "1323"},
      {"101131", "1030", "101131", "1030", "101131", "1030"},
      {"002023010", "002031", "002023010", "0210", "00221012", "0210"},
      {"000", "322031", "001300012133", "0013", "001300012133", "3122"},
      {"001131", "001131", "001131", "001131", "001131", "001131"},
      {"3110202", "3110202", "3110202", "3110202", "000313221131", "3110202"},
      {"2", "2", "2", "2", "2", "2"},
      {"32223031", "32223031", "32223031", "32223031", "32223031", "32223031"},
      {"21", "21", "21", "21", "21", "21"},
      {"31", "31", "31", "31", "31", "31"},
      {"", "", "", "", "", ""},
      {"", "", "", "", "", ""},
      {"", "", "", "", "", ""},
  };
  std::uint64_t seed = 0;
  for (const auto& answers : expected) {
    auto answer = answers.begin();
    for (const std::int64_t count : {2, 3, 4}) {
      for (const double penalty : {1.0, 1.3}) {
        Sampling sampling = beams(count, 12);
        sampling.repetition_penalty = penalty;
        const Model model = [seed](const Ids& tokens) { return scrambled(tokens, seed); };
        std::string found;
        for (const std::int32_t token : Rehearsal(model, sampling).finish().tokens)
          found += static_cast<char>('0' + token);
        EXPECT_EQ(found, *answer++) << "seed " << seed << ", " << count << " beams, " << penalty;
      }
    }
    ++seed;
  }
}

TEST(BeamSearch, BeamsReadTheirOwnCacheAcrossPages) {
  for (const std::int64_t prompt : {1, 63, 64, 65}) {
    // The rehearsal compares each beam's pages with its tokens at every step.
    const Model model = [](const Ids& tokens) { return endless(tokens, 3); };
    Rehearsal run(model, beams(4, 150), prompt);
    const Ended result = run.finish();
    EXPECT_EQ(result.tokens.size(), 150U);
    EXPECT_EQ(run.leaked(), 0);
  }
}

TEST(BeamSearch, DrawnBeamsFollowTheSeed) {
  const Model model = [](const Ids& tokens) { return endless(tokens, 9); };
  const auto drawn = [&](std::uint64_t seed) {
    Sampling sampling = beams(3, 20);
    sampling.temperature = 1;
    sampling.seed = seed;
    return Rehearsal(model, sampling).finish().tokens;
  };
  EXPECT_EQ(drawn(1), drawn(1));
  const std::vector<Ids> others = {drawn(2), drawn(3), drawn(4), drawn(5)};
  EXPECT_TRUE(
      std::any_of(others.begin(), others.end(), [&](const Ids& ids) { return ids != drawn(1); }));
}

TEST(BeamSearch, FewerContinuationsThanBeamsAreEnough) {
  const Model model = [](const Ids& tokens) { return scrambled(tokens, 2); };
  Sampling sampling = beams(4, 10);
  sampling.temperature = 1;
  sampling.top_k = 1;
  EXPECT_EQ(Rehearsal(model, sampling).finish().tokens,
            Rehearsal(model, beams(1, 10)).finish().tokens);
}

}  // namespace
}  // namespace fvlm
