#include "runtime/engine/batching.hpp"

#include <algorithm>

namespace fvlm {
namespace {

// What a pass has room for, and the images that it encodes so far.
struct PrefillRoom {
  std::int64_t rows;
  std::int64_t images;  // to encode
  const ImageCache& kept;
  std::vector<Hash128> encoded{};

  // Makes room for an image; whether there was. Those that are kept, or that the pass has already,
  // take none.
  bool take(const Hash128& image) {
    if (kept.contains(image) || std::ranges::find(encoded, image) != encoded.end()) return true;
    if (std::ssize(encoded) == images) return false;
    encoded.push_back(image);
    return true;
  }
};

// The largest chunk of a prompt that fits; takes its rows off the room.
PrefillChunk next_chunk(Generation& g, PrefillRoom& room) {
  PrefillChunk chunk{.generation = &g};
  std::int64_t position = g.prefilled();
  for (const PromptSpan& span : g.prompt().spans) {
    if (span.end() <= position) continue;
    const std::int64_t done = position - span.position;
    PromptSpan part = span;
    if (span.image < 0) {
      part = {span.first_id + done, span.image, position, std::min(span.rows - done, room.rows)};
    } else if (span.rows > room.rows ||
               !room.take(g.prompt().images[static_cast<std::size_t>(span.image)].hash)) {
      break;
    }
    if (part.rows == 0) break;
    room.rows -= part.rows;
    position += part.rows;
    chunk.spans.push_back(part);
  }
  return chunk;
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
                                       const PassLimits& limits, const ImageCache& kept) {
  std::vector<Generation*> candidates;
  for (const GenerationPtr& g : running) {
    if (g->prefills()) candidates.push_back(g.get());
  }
  std::stable_sort(candidates.begin(), candidates.end(), [](const auto* a, const auto* b) {
    return a->prefill_passes() < b->prefill_passes();
  });
  std::int64_t fitting = 0;  // images, into the plan made last
  const auto plan = [&](std::int64_t images) {
    PrefillRoom room{.rows = limits.prefill_rows, .images = images, .kept = kept};
    std::vector<PrefillChunk> chunks;
    for (Generation* g : candidates) {
      if (std::ssize(chunks) == limits.decode_rows) break;
      PrefillChunk chunk = next_chunk(*g, room);
      if (!chunk.spans.empty()) chunks.push_back(std::move(chunk));
    }
    fitting = std::ssize(room.encoded);
    return chunks;
  };
  auto chunks = plan(limits.images);
  const std::int64_t taken = images_of_pass(fitting);
  return taken < fitting ? plan(taken) : chunks;
}

std::vector<std::vector<Generation*>> plan_decode(const std::list<GenerationPtr>& running,
                                                  const PassLimits& limits) {
  std::vector<std::vector<Generation*>> groups;
  std::int64_t rows = 0;  // of the last group
  const auto fill = [&] {
    if (!groups.empty())
      propose(groups.back(), std::max<std::int64_t>(limits.draft_rows - rows, 0));
  };
  for (const GenerationPtr& g : running) {
    if (g->phase() != Generation::Phase::kDecode) continue;
    const std::int64_t more = std::ssize(g->answer().hypotheses());
    if (groups.empty() || rows + more > limits.decode_rows) {
      fill();
      groups.emplace_back();
      rows = 0;
    }
    groups.back().push_back(g.get());
    rows += more;
  }
  fill();
  return groups;
}

}  // namespace fvlm
