// The same question about each of many pictures: a line for each on standard output, or a file for
// each in a folder. The model is loaded once; one bad picture does not end the rest.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/describe/describe.hpp"
#include "tools/commands/describe/sidecars.hpp"
#include "tools/commands/shared/inputs.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/report.hpp"
#include "tools/commands/shared/request_queue.hpp"
#include "tools/commands/shared/stopwatch.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

// An answer as a line: its own lines and tabs become spaces.
std::string in_one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool is_space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
    if (!is_space) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  return line;
}

std::string counted(std::size_t count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

class DescribeEach {
 public:
  DescribeEach(const DescribeOptions& options, const Question& question)
      : options_(options), question_(question) {}

  int run();

 private:
  void find_pictures();
  nlohmann::json asked() const;
  void read_standard_input();
  Request make(std::size_t index);
  void follow(RequestQueue& queue, const InterruptGuard& interrupt);
  void report(const RequestQueue::Answer& answer);
  void report_failure(const Input& picture, const std::string& error);
  std::string form(const Input& picture, const Result& result) const;
  std::string progress_note() const;
  int finish(int signal) const;

  const DescribeOptions& options_;
  const Question& question_;
  std::vector<Input> pictures_;
  std::optional<Sidecars> sidecars_;
  std::optional<OpenImage> standard_input_;
  std::unique_ptr<Engine> engine_;
  std::vector<int> damaged_;  // places of each picture; written before its answer is taken
  std::string output_;        // not written yet
  std::size_t described_ = 0;
  std::size_t failed_ = 0;
  std::size_t skipped_ = 0;  // described by a run before
  std::int64_t tokens_ = 0;
  Stopwatch watch_;  // since the model is loaded
};

// What can be said of the pictures before the model is loaded.
void DescribeEach::find_pictures() {
  Inputs inputs = find_inputs(options_.inputs);
  for (const std::string& problem : inputs.problems) print_error(problem);
  failed_ = inputs.problems.size();
  pictures_ = std::move(inputs.pictures);
  if (pictures_.empty()) throw Error("there is no picture to describe");
  if (!options_.output_dir.empty()) {
    sidecars_.emplace(options_.output_dir, options_.json ? ".json" : ".txt", pictures_, asked());
    Sidecars::Missing missing = sidecars_->missing(pictures_, options_.force);
    if (missing.to_another > 0 && !options_.force) {
      print_notice(fmt::format("{} in {} had other questions or another model: asked again",
                               counted(missing.to_another, "answer"), options_.output_dir));
    }
    skipped_ = pictures_.size() - missing.pictures.size();
    pictures_ = std::move(missing.pictures);
  }
  read_standard_input();
}

// What an answer depends on, as far as it makes it the answer to another question.
nlohmann::json DescribeEach::asked() const {
  const auto whole = [](const std::filesystem::path& path) {
    return path.empty() ? "" : std::filesystem::weakly_canonical(path).string();
  };
  return {{"prompt", question_.prompt},
          {"system", options_.prompt.system},
          {"form", question_.grammar ? question_.grammar->source() : ""},
          {"model", whole(options_.engine.model_path)},
          {"model_base", whole(options_.engine.model_base)}};
}

void DescribeEach::read_standard_input() {
  for (const Input& picture : pictures_) {
    if (picture.is_standard_input()) standard_input_ = open_standard_input(options_.pictures);
  }
}

// On threads of the queue.
Request DescribeEach::make(std::size_t index) {
  const Input& picture = pictures_[index];
  const auto prepare_one = [&](const OpenImage& open) { return engine_->prepare(*open.reader); };
  PreparedImage prepared = picture.is_standard_input()
                               ? prepare_one(*standard_input_)
                               : prepare_one(open_picture(picture.name, options_.pictures));
  damaged_[index] = static_cast<int>(prepared.warnings);
  std::vector<PreparedImage> one;
  one.push_back(std::move(prepared));
  return make_request(options_, question_, std::move(one));
}

// Until all answers are written, or a signal came and those that were complete are: then it does
// not wait for a reader of standard output any more.
void DescribeEach::follow(RequestQueue& queue, const InterruptGuard& interrupt) {
  constexpr std::size_t kMostOutput = 1 << 20;  // that waits for its reader
  constexpr std::chrono::milliseconds kRedraw(250);
  ProgressLine progress("fastvlm: describing");
  bool cancelled = false;
  while (!queue.done() || !output_.empty()) {
    const bool hurry = interrupt.signal() != 0 && queue.done();
    const bool writable =
        wait_for_event(!output_.empty(), hurry ? std::chrono::milliseconds(0) : kRedraw);
    if (hurry && !writable) break;
    if (interrupt.signal() != 0 && !cancelled) {
      queue.cancel();
      cancelled = true;
    }
    while (output_.size() < kMostOutput) {
      const std::optional<RequestQueue::Answer> answer = queue.take();
      if (!answer.has_value()) break;
      report(*answer);
    }
    if (writable) write_some_output(output_);
    progress.update(
        static_cast<double>(described_ + failed_) / static_cast<double>(pictures_.size() + failed_),
        progress_note());
  }
}

void DescribeEach::report(const RequestQueue::Answer& answer) {
  const Input& picture = pictures_[answer.index];
  const Result& result = answer.result;
  if (result.outcome == Outcome::kCancelled) return;
  if (result.outcome == Outcome::kFailed) return report_failure(picture, result.error);
  if (damaged_[answer.index] > 0) {
    print_warning(fmt::format("{}: damaged in {} places", picture.name, damaged_[answer.index]));
  }
  const std::string text = form(picture, result);
  if (sidecars_.has_value()) {
    sidecars_->write(picture, text);
  } else {
    output_ += text;
  }
  ++described_;
  tokens_ += result.statistics.new_tokens;
  print_detail(picture.name + ": " + timing_line(result.statistics));
}

// Messages of the readers of pictures begin with the file's name.
void DescribeEach::report_failure(const Input& picture, const std::string& error) {
  print_error(error.starts_with(picture.name) ? error : picture.name + ": " + error);
  ++failed_;
  if (options_.json && !sidecars_.has_value()) {
    output_ += json_line({{"file", picture.name}, {"error", error}});
  }
}

std::string DescribeEach::form(const Input& picture, const Result& result) const {
  if (options_.json) return json_line(answer_json(engine_->info(), result, picture.name));
  if (sidecars_.has_value()) return result.text + "\n";
  return visible(picture.name) + ": " + in_one_line(result.text) + "\n";
}

std::string DescribeEach::progress_note() const {
  const double rate = static_cast<double>(described_) / watch_.seconds();
  const auto left = static_cast<double>(pictures_.size() - described_);
  std::string note = fmt::format("{} of {}", described_, pictures_.size());
  if (described_ > 0) note += fmt::format(", {:.1f}/s, {:.0f} s left", rate, left / rate);
  return note;
}

int DescribeEach::finish(int signal) const {
  const double rate = static_cast<double>(described_) / watch_.seconds();
  std::string summary = counted(described_, "picture") + " described";
  if (sidecars_.has_value()) summary += " in " + options_.output_dir;
  if (described_ > 0) summary += fmt::format(", {:.1f} pictures/s", rate);
  if (skipped_ > 0) summary += fmt::format("; {} had been before (--force: again)", skipped_);
  if (options_.stats) {
    print_error_text(fmt::format("{}\n{} tokens, {:.1f} tok/s, {:.1f} s, peak memory {:.1f} MB\n",
                                 summary, tokens_, static_cast<double>(tokens_) / watch_.seconds(),
                                 watch_.seconds(), static_cast<double>(peak_memory_bytes()) / 1e6));
  } else if (sidecars_.has_value()) {
    print_notice(summary);
  } else {
    print_detail(summary);
  }
  if (failed_ > 0) print_error(fmt::format("{} failed", counted(failed_, "picture")));
  if (signal != 0) {
    print_notice(fmt::format("stopped with {} left{}",
                             counted(pictures_.size() - described_, "picture"),
                             sidecars_ ? "; the same command goes on from here" : ""));
    return kExitSignal + signal;
  }
  return failed_ > 0 ? kExitFailure : kExitSuccess;
}

int DescribeEach::run() {
  static_cast<void>(user_turn(question_.prompt, {PreparedImage{}}));  // if it has marks, it has one
  find_pictures();
  watch_ = {};
  if (pictures_.empty()) return finish(0);
  engine_ = load_engine(options_.engine);
  damaged_.resize(pictures_.size());
  const InterruptGuard interrupt;
  print_detail(fmt::format("asking about {}", counted(pictures_.size(), "picture")));
  watch_ = {};
  {
    RequestQueue queue(
        *engine_, pictures_.size(), [this](std::size_t index) { return make(index); },
        options_.stop);
    follow(queue, interrupt);
  }
  return finish(interrupt.signal());
}

}  // namespace

int describe_each(const DescribeOptions& options, const Question& question) {
  return DescribeEach(options, question).run();
}

}  // namespace fvlm
