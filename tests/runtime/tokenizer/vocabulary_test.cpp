// Reading tokeniser files: both layouts give the same tokeniser, and whatever contradicts itself
// is refused with one line that names the file and the cause.
#include "runtime/tokenizer/vocabulary.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/tokenizer/pre_split.hpp"
#include "runtime/tokenizer/tokenizer.hpp"
#include "tests/support/cost.hpp"
#include "tests/support/temporary_folder.hpp"

namespace fvlm {
namespace {

using nlohmann::json;
using std::filesystem::path;

const path kFull = path(FVLM_TEST_DATA) / "tokenizer";

json read_json(const path& file) {
  return json::parse(std::ifstream(file));
}

// The first `count` lines of the full merges.txt, its header included.
std::vector<std::string> merge_lines(std::size_t count) {
  std::vector<std::string> lines;
  std::ifstream file(kFull / "merges.txt");
  for (std::string line; lines.size() < count && std::getline(file, line);) lines.push_back(line);
  return lines;
}

// An empty folder for each test, and a small valid vocabulary to damage: the single bytes and
// the first merges of the full one, whose ids are in that order.
class VocabularyTest : public testing::Test {
 protected:
  static constexpr int kTokens = 300;

  VocabularyTest() {
    static const json full = read_json(kFull / "vocab.json");
    for (const auto& [text, id] : full.items()) {
      if (id < kTokens) vocab_[text] = id;
    }
    merges_ = merge_lines(1 + kTokens - 256);
    added_ = {{"<|im_end|>", kTokens}};
  }
  void write(const std::string& name, const std::string& text) const {
    write_file(folder_ / name, text);
  }

  void write_files() const {
    write("vocab.json", vocab_.dump());
    std::string merges;
    for (const std::string& line : merges_) merges += line + "\n";
    write("merges.txt", merges);
    write("added_tokens.json", added_.dump());
  }

  // tokenizer.json with the same content; newer versions of the format write merges as pairs.
  static json tokenizer_json(const json& vocab, const std::vector<std::string>& lines,
                             const json& added, bool merges_as_pairs) {
    json merges = json::array();
    for (std::size_t i = 1; i < lines.size(); ++i) {
      const std::size_t space = lines[i].find(' ');
      if (merges_as_pairs) {
        merges.push_back({lines[i].substr(0, space), lines[i].substr(space + 1)});
      } else {
        merges.push_back(lines[i]);
      }
    }
    json tokens = json::array();
    for (const auto& [text, id] : added.items()) {
      tokens.push_back({{"id", id}, {"content", text}, {"lstrip", false}, {"special", true}});
    }
    const json split = {{"type", "Split"}, {"pattern", {{"Regex", kPreSplitPattern}}}};
    return {{"added_tokens", tokens},
            {"normalizer", {{"type", "NFC"}}},
            {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {split}}}},
            {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
  }

  json small_tokenizer_json() const { return tokenizer_json(vocab_, merges_, added_, false); }

  Tokenizer load() const { return Tokenizer::load(folder_.path()); }

  // Loading fails with one line that names `file`, or the folder if that is empty, and `cause`.
  void expect_error(const std::string& file, const std::string& cause) const {
    const path named = file.empty() ? folder_.path() : folder_ / file;
    const std::string message = error_of([this] { load(); });
    EXPECT_TRUE(message.starts_with(named.string() + ":")) << message;
    EXPECT_PRED2(contains, message, cause);
  }

  TemporaryFolder folder_;
  json vocab_;
  std::vector<std::string> merges_;
  json added_;
};

TEST_F(VocabularyTest, LoadsASmallVocabulary) {
  write_files();
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.size(), kTokens + 1);
  EXPECT_EQ(tokenizer.special_token("<|im_end|>"), kTokens);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("The 中 in\n<|im_end|>")), "The 中 in\n<|im_end|>");
}

TEST_F(VocabularyTest, TokenizerJsonGivesTheSameTokeniser) {
  const Tokenizer expected = Tokenizer::load(kFull);
  const json vocab = read_json(kFull / "vocab.json");
  const auto lines = merge_lines(200'000);
  for (const bool merges_as_pairs : {false, true}) {
    write("tokenizer.json",
          tokenizer_json(vocab, lines, read_json(kFull / "added_tokens.json"), merges_as_pairs)
              .dump());
    const Tokenizer found = load();
    ASSERT_EQ(found.size(), expected.size());
    for (std::int32_t id = 0; id < expected.size(); ++id) {
      ASSERT_EQ(found.token_bytes(id), expected.token_bytes(id));
      ASSERT_EQ(found.is_special(id), expected.is_special(id));
    }
    std::ifstream cases(kFull / "cases.jsonl");
    for (std::string line; std::getline(cases, line);) {
      const json expected_case = json::parse(line);
      const auto ids = found.encode(expected_case["text"].get<std::string>());
      EXPECT_EQ(ids, expected_case["ids"].get<std::vector<std::int32_t>>());
    }
  }
}

TEST_F(VocabularyTest, SeparateFilesWinOverTokenizerJson) {
  write_files();
  write("tokenizer.json", "damaged");
  EXPECT_EQ(load().size(), kTokens + 1);
}

TEST_F(VocabularyTest, ConfigAddsTokensAndSaysWhichAreSpecial) {
  write_files();
  write("tokenizer_config.json", R"({"added_tokens_decoder": {
      "300": {"content": "<|im_end|>", "special": true},
      "305": {"content": "<tool>", "special": false},
      "306": {"content": "<tool>x", "special": false},
      "307": {"content": "<|fim|>", "special": false}}})");
  const Tokenizer tokenizer = load();
  EXPECT_EQ(tokenizer.size(), 308);
  EXPECT_TRUE(tokenizer.is_special(300));
  EXPECT_FALSE(tokenizer.is_special(305));
  EXPECT_EQ(tokenizer.token_bytes(303), "");
  EXPECT_EQ(tokenizer.encode("<tool><tool>x<tool"),
            (std::vector<std::int32_t>{305, 306, 27, 83, 78, 78, 75}));  // the longest one wins
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("<tool><|im_end|>"), false), "<tool>");
  EXPECT_TRUE(tokenizer.is_special(307)) << "whatever the file says";
  // In a text of somebody's, words stay tokens.
  std::vector<std::int32_t> ids;
  EXPECT_TRUE(tokenizer.append_text("<tool><|fim|>", 100, ids));
  EXPECT_EQ(ids, (std::vector<std::int32_t>{305, 27, 91, 69, 72, 76, 91, 29}));
}

TEST_F(VocabularyTest, ManyAddedTokensTakeNoQuadraticTime) {
  const auto make = [](std::size_t n) {
    std::vector<AddedToken> tokens;
    for (std::size_t i = 0; i < n; ++i) {
      tokens.push_back({fmt::format("<{}>", i), static_cast<std::int32_t>(i), false});
    }
    return tokens;
  };
  const auto add = [](const std::vector<AddedToken>& tokens) {
    VocabularyBuilder builder;
    for (const AddedToken& token : tokens) builder.add_added_token(token, "file");
  };
  EXPECT_LT(growth(10'000, make, add), kMostGrowth);
}

TEST_F(VocabularyTest, MergesMayHaveWindowsLinesAndNoHeader) {
  write_files();
  const Tokenizer expected = load();
  std::string merges;
  for (std::size_t i = 1; i < merges_.size(); ++i) merges += merges_[i] + "\r\n";
  write("merges.txt", merges);
  EXPECT_EQ(load().encode("  the rain"), expected.encode("  the rain"));
}

TEST_F(VocabularyTest, RefusesMissingFiles) {
  expect_error("", "no tokeniser in this folder");
  write("merges.txt", "");
  expect_error("vocab.json", "");
  write_files();
  std::filesystem::remove(folder_ / "merges.txt");
  expect_error("merges.txt", "");
  write_files();
  std::filesystem::remove(folder_ / "merges.txt");
  std::filesystem::create_directory(folder_ / "merges.txt");
  expect_error("merges.txt", "");
}

TEST_F(VocabularyTest, RefusesDamagedJson) {
  write_files();
  const std::string good = vocab_.dump();
  const std::vector<std::string> damaged{"",
                                         "{",
                                         good.substr(0, good.size() / 2),
                                         good + "x",
                                         "{\"\xff\": 1}",
                                         good + std::string(1, '\0')};
  for (const std::string& text : damaged) {
    write("vocab.json", text);
    expect_error("vocab.json", "not valid JSON");
  }
  write("vocab.json", std::string(100'000, '['));
  expect_error("vocab.json", "nested");
  write("vocab.json", good);
  write("added_tokens.json", "{");
  expect_error("added_tokens.json", "JSON");
}

TEST_F(VocabularyTest, RefusesBadIds) {
  for (const json& id : {json(-1), json(1 << 22), json(1.5), json("7"), json(nullptr),
                         json(18446744073709551615U)}) {
    vocab_["a"] = id;
    write_files();
    expect_error("vocab.json", "token \"a\" has id ");
  }
}

TEST_F(VocabularyTest, RefusesTokensThatContradictOneAnother) {
  json changed = vocab_;
  changed["a"] = vocab_["b"];
  write_files();
  write("vocab.json", changed.dump());
  expect_error("vocab.json", "already");

  std::string repeated = vocab_.dump();
  repeated.back() = ',';
  write("vocab.json", repeated + "\"a\": 299999}");
  expect_error("vocab.json", "token \"a\" occurs twice, with ids 64 and 299999");
  write("vocab.json", repeated + "\"ÿ\": 299999}");  // the byte 0xff
  expect_error("vocab.json", "occurs twice");

  changed = vocab_;
  changed["中"] = 310;
  write("vocab.json", changed.dump());
  expect_error("vocab.json", "stands for no byte");

  changed = vocab_;
  changed[""] = 310;
  write("vocab.json", changed.dump());
  expect_error("vocab.json", "empty");

  changed = vocab_;
  changed.erase("Ġ");
  write("vocab.json", changed.dump());
  expect_error("vocab.json", "single byte 0x20");
}

TEST_F(VocabularyTest, RefusesBadAddedTokens) {
  write_files();
  write("added_tokens.json", R"({"<|im_end|>": 5})");
  expect_error("added_tokens.json", "already");
  write("added_tokens.json", R"({"": 500})");
  expect_error("added_tokens.json", "empty");
  write_files();
  const std::map<std::string, std::string> entries{
      {R"("300": {"content": "<other>"})", "already"},
      {R"("x": {"content": "<other>"})", "id"},
      {R"("301": {"special": true})", "content"},
      {R"("301": 5)", "content"},
      {R"("301": {"content": "<mask>", "lstrip": true})", "lstrip"},
  };
  for (const auto& [entry, cause] : entries) {
    write("tokenizer_config.json", R"({"added_tokens_decoder": {)" + entry + "}}");
    expect_error("tokenizer_config.json", cause);
  }
}

TEST_F(VocabularyTest, RefusesMergesThatContradictTheVocabulary) {
  const std::map<std::string, std::string> lines{
      {"zzz a", "does not have"}, {"a zzz", "does not have"}, {"a ~", "makes a token"},
      {"a", "two tokens"},        {"a b c", "two tokens"},    {" a", "two tokens"},
      {"a ", "two tokens"},       {"a 中", "no byte"},        {"i n", "occurs twice"},
  };
  const auto good = merges_;
  for (const auto& [line, cause] : lines) {
    merges_ = good;
    merges_.insert(merges_.begin() + 10, line);
    write_files();
    expect_error("merges.txt", "line 11");
    expect_error("merges.txt", cause);
  }
}

TEST_F(VocabularyTest, RefusesBadTokenizerJson) {
  const auto expect = [this](const char* pointer, const json& value, const std::string& cause) {
    json changed = small_tokenizer_json();
    changed[json::json_pointer(pointer)] = value;
    write("tokenizer.json", changed.dump());
    expect_error("tokenizer.json", cause);
  };
  write("tokenizer.json", small_tokenizer_json().dump());
  EXPECT_EQ(load().size(), kTokens + 1);

  expect("/model/type", "WordPiece", "WordPiece");
  expect("/model", json::object(), "no");
  expect("/model/vocab", json::object(), "single byte 0x00");
  expect("/model/merges/3", "zzz a", "merge 3");
  expect("/model/merges/3", {"a"}, "two tokens");
  expect("/model/merges/3", {{"x", "a"}}, "two tokens");
  expect("/model/merges/3", 5, "expected texts");
  expect("/model/merges/0", {{"1", "a"}}, "two tokens");
  expect("/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\s+", "pre_tokenizer");
  expect("/added_tokens/0/id", nullptr, "id");
  expect("/added_tokens/0/single_word", true, "single_word");
}

}  // namespace
}  // namespace fvlm
