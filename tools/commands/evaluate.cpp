// fastvlm evaluate: how many questions about pictures a model answers exactly right, by kind of
// question. Greedy, so that the same model always scores the same.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "fvlm/engine.hpp"
#include "fvlm/error.hpp"
#include "kernels/support/make_error.hpp"
#include "net/command_line/flag_checks.hpp"
#include "runtime/config/json_file.hpp"
#include "runtime/support/new_files.hpp"
#include "tools/commands/command.hpp"
#include "tools/commands/shared/conversation.hpp"
#include "tools/commands/shared/images.hpp"
#include "tools/commands/shared/options.hpp"
#include "tools/commands/shared/report.hpp"
#include "tools/commands/shared/request_queue.hpp"
#include "tools/commands/shared/terminal.hpp"

namespace fvlm {
namespace {

struct EvaluateOptions {
  EngineOptions engine;
  std::filesystem::path cases;
  std::filesystem::path images;
  std::filesystem::path answers;  // empty: not written
  ImageOptions pictures;
  std::int64_t max_new_tokens = 64;
  std::int64_t at_least = 0;
  bool json = false;
  bool force = false;
};

struct Case {
  std::string image;
  std::string prompt;
  std::string answer;
  std::string kind;
};

struct Score {
  std::int64_t right = 0;
  std::int64_t asked = 0;

  double percent() const { return 100.0 * static_cast<double>(right) / static_cast<double>(asked); }
};

Case parse_case(const std::string& line, const std::string& source) {
  const nlohmann::json object = parse_json_object(line, source);
  const auto text = [&](const char* key) {
    if (!object.contains(key) || !object[key].is_string()) {
      throw make_error("{}: expected a text \"{}\"", source, key);
    }
    return object[key].get<std::string>();
  };
  return {text("image"), text("prompt"), text("answer"), text("kind")};
}

std::vector<Case> read_cases(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) {
    throw make_error("{}: the cases cannot be read: {}", path.string(), std::strerror(errno));
  }
  if (std::filesystem::is_directory(path)) {
    throw make_error("{}: is a folder, expected a file of cases", path.string());
  }
  std::vector<Case> cases;
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    cases.push_back(parse_case(line, fmt::format("{}: line {}", path.string(), number)));
  }
  if (cases.empty()) throw make_error("{}: no cases in it", path.string());
  return cases;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// The file that takes each case with the answer it got, if one is wanted.
class AnswersFile {
 public:
  AnswersFile(const std::filesystem::path& path, bool force) : path_(path) {
    if (path_.empty()) return;
    const bool streams = is_device(path_);
    if (!streams) require_new_file(path_, force);
    written_ = streams ? path_ : partial_name(path_);
    file_.open(written_);
    check();
  }
  void add(const Case& asked, std::string_view got) {
    if (path_.empty()) return;
    const nlohmann::ordered_json line = {{"image", asked.image},
                                         {"prompt", asked.prompt},
                                         {"answer", asked.answer},
                                         {"kind", asked.kind},
                                         {"got", got}};
    file_ << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    file_.flush();
    check();
  }
  // Gives the file its name: until then, what was there is untouched.
  void finish() {
    if (path_.empty()) return;
    file_.close();
    check();
    if (written_ == path_) return;
    sync_to_disk(written_);
    put_in_place(written_, path_);
  }

 private:
  void check() const {
    if (!path_.empty() && !file_) throw_not_writable(path_);
  }

  std::filesystem::path path_;
  std::filesystem::path written_;
  std::ofstream file_;
};

// The pictures of the cases. Cases about one picture stand together: it is decoded once, by
// whichever thread asks first.
class SharedPictures {
 public:
  SharedPictures(Engine& engine, const EvaluateOptions& options)
      : engine_(engine), options_(options) {}

  // Throws Error if the picture cannot be read.
  PreparedImage get(const std::string& name) {
    std::packaged_task<PreparedImage()> decode(
        [&] { return prepare(engine_, open_picture(options_.images / name, options_.pictures)); });
    std::shared_future<PreparedImage> picture;
    bool is_new = false;
    {
      const std::lock_guard lock(mutex_);
      const auto known = std::find_if(recent_.begin(), recent_.end(),
                                      [&](const auto& recent) { return recent.first == name; });
      is_new = known == recent_.end();
      picture = is_new ? decode.get_future().share() : known->second;
      if (is_new) recent_.emplace_back(name, picture);
      if (recent_.size() > kKept) recent_.pop_front();
    }
    if (is_new) decode();
    return picture.get();
  }

 private:
  static constexpr std::size_t kKept = 8;

  Engine& engine_;
  const EvaluateOptions& options_;
  std::mutex mutex_;
  std::deque<std::pair<std::string, std::shared_future<PreparedImage>>> recent_;
};

// Several at a time, which changes no answer.
std::map<std::string, Score> ask_all(Engine& engine, const std::vector<Case>& cases,
                                     const EvaluateOptions& options, AnswersFile& answers) {
  ProgressLine progress("fastvlm: asking");
  SharedPictures pictures(engine, options);
  const auto make = [&](std::size_t index) {
    const Case& asked = cases[index];
    return make_request("", asked.prompt, {pictures.get(asked.image)},
                        {.temperature = 0, .max_new_tokens = options.max_new_tokens});
  };
  RequestQueue queue(engine, cases.size(), make);
  std::map<std::string, Score> scores;
  while (const std::optional<RequestQueue::Answer> answer = queue.wait()) {
    if (answer->result.outcome == Outcome::kFailed) throw Error(answer->result.error);
    const Case& asked = cases[answer->index];
    const std::string_view got = trimmed(answer->result.text);
    Score& score = scores[asked.kind];
    ++score.asked;
    const bool is_right = got == trimmed(asked.answer);
    if (is_right) ++score.right;
    print_detail(fmt::format("{}: \"{}\": \"{}\" is {}; {}", asked.image, asked.prompt, got,
                             is_right ? "right" : fmt::format("not \"{}\"", asked.answer),
                             timing_line(answer->result.statistics)));
    answers.add(asked, got);
    progress.update(static_cast<double>(answer->index + 1) / static_cast<double>(cases.size()));
  }
  return scores;
}

void print_table(const EngineInfo& info, const std::map<std::string, Score>& scores,
                 const Score& total) {
  std::string table = fmt::format("{}, {}, {}\n", info.model, info.device, info.precision);
  const auto add = [&table](const std::string& kind, const Score& score) {
    table += fmt::format("{:<16}{:>7} of {:>6}{:>9.1f} %\n", kind, score.right, score.asked,
                         score.percent());
  };
  for (const auto& [kind, score] : scores) add(kind, score);
  add("all", total);
  write_output(table);
}

void print_json(const EngineInfo& info, const std::map<std::string, Score>& scores,
                const Score& total) {
  const auto entry = [](const Score& score) {
    return nlohmann::ordered_json{
        {"right", score.right}, {"asked", score.asked}, {"percent", score.percent()}};
  };
  nlohmann::ordered_json kinds;
  for (const auto& [kind, score] : scores) kinds[kind] = entry(score);
  const nlohmann::ordered_json report = {{"model", info.model},
                                         {"device", info.device},
                                         {"precision", info.precision},
                                         {"kinds", kinds},
                                         {"all", entry(total)}};
  write_output(report.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

int evaluate(const EvaluateOptions& options) {
  const std::vector<Case> cases = read_cases(options.cases);
  if (std::error_code none; !std::filesystem::is_directory(options.images, none)) {
    throw make_error("{}: no such folder; expected that of the pictures", options.images.string());
  }
  AnswersFile answers(options.answers, options.force);
  const std::unique_ptr<Engine> engine = load_engine(options.engine);
  const std::map<std::string, Score> scores = ask_all(*engine, cases, options, answers);
  answers.finish();
  Score total;
  for (const auto& [kind, score] : scores) {
    total.right += score.right;
    total.asked += score.asked;
  }
  (options.json ? print_json : print_table)(engine->info(), scores, total);
  if (total.right >= options.at_least) return kExitSuccess;
  print_error(fmt::format("{} of {} answers are right, fewer than --at-least {}", total.right,
                          total.asked, options.at_least));
  return kExitFailure;
}

}  // namespace

Command add_evaluate(CLI::App& program) {
  CLI::App* parser =
      program.add_subcommand("evaluate", "Score a model on questions with known answers");
  const auto options = std::make_shared<EvaluateOptions>();
  parser
      ->add_option("--cases", options->cases, R"(JSON lines {"image", "prompt", "answer", "kind"})")
      ->required()
      ->option_text("FILE (required)");
  parser->add_option("--images", options->images, "Folder of the pictures that the cases name")
      ->required()
      ->option_text("DIR (required)");
  parser
      ->add_option("--answers", options->answers,
                   "File to write: the cases with the model's answers")
      ->option_text("FILE");
  add_force_flag(*parser, options->force);
  parser
      ->add_option("--max_new_tokens,--max-new-tokens", options->max_new_tokens,
                   "Tokens of each answer, at most [64]")
      ->check(above_zero<std::int64_t>())
      ->option_text("N");
  parser
      ->add_option("--at-least,--at_least", options->at_least,
                   "Exit with code 1 if fewer than N answers are right [0]")
      ->check(not_negative<std::int64_t>())
      ->option_text("N");
  add_model_flags(*parser, options->engine);
  add_picture_flags(*parser, options->pictures);
  parser->add_flag("--json", options->json, "Print one JSON object instead of a table");
  return {parser, [options] { return evaluate(*options); }};
}

}  // namespace fvlm
