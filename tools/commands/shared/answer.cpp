#include "tools/commands/shared/answer.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fvlm/error.hpp"
#include "tools/commands/shared/mailbox.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

// Runs until the answer is complete and written. After a signal it does not wait for a reader of
// standard output any more, but writes what there is room for.
Reply follow(Engine& engine, RequestId id, Mailbox& mailbox, const InterruptGuard& interrupt,
             Show show) {
  std::optional<Result> result;
  std::string pending;  // text not written yet
  bool cancelled = false;
  while (true) {
    const bool hurry = result.has_value() && interrupt.signal() != 0;
    const bool writable =
        wait_for_event(!pending.empty(), std::chrono::milliseconds(hurry ? 0 : -1));
    if (hurry && !writable) break;
    if ((interrupt.signal() != 0 || mailbox.stopped()) && !cancelled) {
      engine.cancel(id);
      cancelled = true;
    }
    if (!result.has_value()) {
      result = mailbox.take(pending);
      if (show == Show::kNothing) pending.clear();
      if (result.has_value() && show == Show::kText) pending += '\n';
    }
    if (writable) write_some_output(pending);
    if (result.has_value() && pending.empty()) break;
  }
  return {std::move(*result), interrupt.signal()};
}

}  // namespace

Reply ask(Engine& engine, Request request, const std::vector<std::string>& stop, Show show) {
  const auto mailbox = std::make_shared<Mailbox>(stop);
  if (show == Show::kText || !stop.empty()) {
    request.on_text = [mailbox](std::string_view text) { mailbox->add(text); };
  }
  request.on_done = [mailbox](const Result& result) { mailbox->finish(result); };

  const InterruptGuard interrupt;
  const RequestId id = engine.submit(std::move(request));
  try {
    Reply answer = follow(engine, id, *mailbox, interrupt, show);
    if (answer.result.outcome == Outcome::kFailed) throw Error(answer.result.error);
    return answer;
  } catch (...) {
    engine.cancel(id);
    throw;
  }
}

}  // namespace fvlm
