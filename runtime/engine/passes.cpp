#include "runtime/engine/passes.hpp"

#include <algorithm>

namespace fvlm {
namespace {

// The largest chunk of a prompt that fits; takes its rows off the budget.
PromptPiece next_piece(Generation& g, std::int64_t& rows_left, std::int64_t& images_left) {
  PromptPiece piece{.generation = &g};
  std::int64_t position = g.prefilled;
  for (const PromptSpan& span : g.spans) {
    if (span.end() <= position) continue;
    const std::int64_t done = position - span.position;
    PromptSpan part = span;
    if (span.image < 0) {
      part = {span.first_id + done, span.image, position, std::min(span.rows - done, rows_left)};
    } else if (images_left == 0 || span.rows > rows_left) {
      break;
    } else {
      --images_left;
    }
    if (part.rows == 0) break;
    rows_left -= part.rows;
    position += part.rows;
    piece.spans.push_back(part);
  }
  return piece;
}

// Divides `spare` rows of a batch among its sequences that have a draft.
void propose(const std::vector<Generation*>& group, std::int64_t spare) {
  const auto drafts = [](const Generation* g) { return g->draft.has_value(); };
  const auto takers = std::count_if(group.begin(), group.end(), drafts);
  if (takers == 0) return;
  for (Generation* g : group) {
    if (!drafts(g)) continue;
    const std::int64_t left = g->max_new_tokens - g->statistics.new_tokens - 1;
    g->proposed = g->draft->propose(g->hypotheses.front().tokens, std::min(spare / takers, left));
  }
}

}  // namespace

std::int64_t PromptPiece::rows() const {
  std::int64_t sum = 0;
  for (const PromptSpan& span : spans) sum += span.rows;
  return sum;
}

std::vector<PromptPiece> plan_prefill(const std::list<GenerationPtr>& running,
                                      const PassLimits& limits) {
  std::vector<Generation*> candidates;
  for (const GenerationPtr& g : running) {
    if (!g->outcome && g->prepared() && !g->prefill_done()) candidates.push_back(g.get());
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto* a, const auto* b) { return a->passes < b->passes; });
  std::int64_t rows_left = limits.prefill_rows;
  std::int64_t images_left = limits.images;
  std::vector<PromptPiece> pieces;
  for (Generation* g : candidates) {
    if (std::ssize(pieces) == limits.decode_rows) break;
    PromptPiece piece = next_piece(*g, rows_left, images_left);
    if (!piece.spans.empty()) pieces.push_back(std::move(piece));
  }
  return pieces;
}

std::vector<std::vector<Generation*>> plan_decode(const std::list<GenerationPtr>& running,
                                                  const PassLimits& limits) {
  std::vector<Generation*> all;
  std::int64_t total = 0;
  for (const GenerationPtr& g : running) {
    if (g->outcome || !g->prefill_done()) continue;
    all.push_back(g.get());
    total += std::ssize(g->hypotheses);
  }
  const std::int64_t room = total <= limits.exact_rows ? limits.exact_rows : limits.decode_rows;
  std::vector<std::vector<Generation*>> groups;
  std::int64_t rows = room;
  for (Generation* g : all) {
    const std::int64_t more = std::ssize(g->hypotheses);
    if (rows + more > room) {
      if (!groups.empty()) propose(groups.back(), room - rows);
      groups.emplace_back();
      rows = 0;
    }
    groups.back().push_back(g);
    rows += more;
  }
  if (!groups.empty()) propose(groups.back(), room - rows);
  return groups;
}

}  // namespace fvlm
