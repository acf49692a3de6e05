#include "runtime/engine/batching.hpp"

#include <algorithm>

namespace fvlm {
namespace {

// The largest chunk of a prompt that fits; takes its rows off the budget.
PrefillChunk next_chunk(Generation& g, std::int64_t& rows_left, std::int64_t& images_left) {
  PrefillChunk chunk{.generation = &g};
  std::int64_t position = g.prefilled();
  for (const PromptSpan& span : g.prompt().spans) {
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
    chunk.spans.push_back(part);
  }
  return chunk;
}

std::int64_t images_in(const std::vector<PrefillChunk>& chunks) {
  std::int64_t images = 0;
  for (const PrefillChunk& chunk : chunks) {
    images += std::count_if(chunk.spans.begin(), chunk.spans.end(),
                            [](const PromptSpan& span) { return span.image >= 0; });
  }
  return images;
}

// Divides `spare` rows of a batch among its sequences that have a draft.
void propose(const std::vector<Generation*>& group, std::int64_t spare) {
  const auto drafts = [](const Generation* g) { return g->answer().has_draft(); };
  const auto takers = std::count_if(group.begin(), group.end(), drafts);
  if (takers == 0) return;
  for (Generation* g : group) {
    if (drafts(g)) g->answer().propose(spare / takers);
  }
}

}  // namespace

std::int64_t PrefillChunk::rows() const {
  std::int64_t sum = 0;
  for (const PromptSpan& span : spans) sum += span.rows;
  return sum;
}

std::vector<PrefillChunk> plan_prefill(const std::list<GenerationPtr>& running,
                                       const PassLimits& limits) {
  std::vector<Generation*> candidates;
  for (const GenerationPtr& g : running) {
    if (g->prefills()) candidates.push_back(g.get());
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto* a, const auto* b) {
    return a->prefill_passes() < b->prefill_passes();
  });
  const auto plan = [&](std::int64_t images_left) {
    std::int64_t rows_left = limits.prefill_rows;
    std::vector<PrefillChunk> chunks;
    for (Generation* g : candidates) {
      if (std::ssize(chunks) == limits.decode_rows) break;
      PrefillChunk chunk = next_chunk(*g, rows_left, images_left);
      if (!chunk.spans.empty()) chunks.push_back(std::move(chunk));
    }
    return chunks;
  };
  auto chunks = plan(limits.images);
  const std::int64_t fitting = images_in(chunks);
  const std::int64_t taken = images_of_pass(fitting);
  return taken < fitting ? plan(taken) : chunks;
}

std::vector<std::vector<Generation*>> plan_decode(const std::list<GenerationPtr>& running,
                                                  const PassLimits& limits) {
  std::vector<Generation*> all;
  std::int64_t total = 0;
  for (const GenerationPtr& g : running) {
    if (g->phase() != Generation::Phase::kDecode) continue;
    all.push_back(g.get());
    total += std::ssize(g->answer().hypotheses());
  }
  const std::int64_t room = total <= limits.exact_rows ? limits.exact_rows : limits.decode_rows;
  std::vector<std::vector<Generation*>> groups;
  std::int64_t rows = room;
  for (Generation* g : all) {
    const std::int64_t more = std::ssize(g->answer().hypotheses());
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
