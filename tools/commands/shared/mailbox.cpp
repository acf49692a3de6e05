#include "tools/commands/shared/mailbox.hpp"

#include <utility>

#include "tools/commands/shared/terminal.hpp"

namespace fvlm {

Mailbox::Mailbox(std::vector<std::string> stop) : filter_(std::move(stop)) {}

void Mailbox::add(std::string_view text) {
  {
    const std::lock_guard lock(mutex_);
    say(filter_.add(text));
  }
  notify_event();
}

void Mailbox::finish(const Result& result) {
  {
    const std::lock_guard lock(mutex_);
    say(filter_.finish());
    result_ = result;
    if (filter_.stopped()) {
      result_->outcome = Outcome::kStop;
      result_->text = said_;
    }
  }
  notify_event();
}

bool Mailbox::stopped() const {
  const std::lock_guard lock(mutex_);
  return filter_.stopped();
}

std::optional<Result> Mailbox::take(std::string& text) {
  const std::lock_guard lock(mutex_);
  text += std::exchange(text_, {});
  return std::exchange(result_, {});
}

void Mailbox::say(const std::string& text) {
  text_ += text;
  said_ += text;
}

}  // namespace fvlm
