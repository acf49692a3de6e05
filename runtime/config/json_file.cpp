// Strict JSON on top of nlohmann's parser, which checks UTF-8 but accepts repeated keys (the last
// one wins), a byte order mark, and anything after a zero byte.
#include "runtime/config/json_file.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "runtime/support/mapped_file.hpp"

namespace fvlm {

using nlohmann::json;

namespace {

constexpr std::size_t kMaxJsonBytes = 100'000'000;
// Files of ours hold some ten thousand values. This and the depth keep "[0,0,0,..." and "[[[[..."
// from costing twenty times their own size in memory.
constexpr std::size_t kMaxValues = 2'000'000;

// Throws Error at a repeated key, deep nesting, or too many values. It is a pass of its own: as the
// parser's callback it would have all values of an array looked through at the end of each of them.
class StructureCheck final : public nlohmann::json_sax<json> {
 public:
  explicit StructureCheck(const std::string& source) : source_(source) {}

  bool null() override { return count(); }
  bool boolean(bool /*value*/) override { return count(); }
  bool number_integer(number_integer_t /*value*/) override { return count(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return count(); }
  bool number_float(number_float_t /*value*/, const string_t& /*digits*/) override {
    return count();
  }
  bool string(string_t& /*value*/) override { return count(); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none

  bool start_object(std::size_t /*size*/) override { return open(); }
  bool start_array(std::size_t /*size*/) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) {
      throw make_error("{}: key {} appears twice in one object", source_, in_quotes(name));
    }
    return true;
  }

  // What is no JSON is for the parser to say.
  bool parse_error(std::size_t /*position*/, const std::string& /*last_token*/,
                   const json::exception& /*error*/) override {
    return false;
  }

 private:
  bool count() {
    if (++values_ > kMaxValues)
      throw make_error("{}: more than {} JSON values", source_, kMaxValues);
    return true;
  }
  bool open() {
    if (keys_.size() == kMaxJsonDepth) {
      throw make_error("{}: JSON nested deeper than {} levels", source_, kMaxJsonDepth);
    }
    keys_.emplace_back();
    return count();
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  const std::string& source_;
  std::size_t values_ = 0;
  std::vector<std::set<std::string>> keys_;  // of each object or array that is still open
};

}  // namespace

json parse_json_object(std::string_view text, const std::string& source) {
  const std::size_t zero = text.find('\0');
  if (zero != std::string_view::npos) {
    throw make_error("{}: not valid JSON (zero byte at {})", source, zero);
  }
  if (text.starts_with("\xef\xbb\xbf")) {
    throw make_error("{}: not valid JSON (it begins with a byte order mark)", source);
  }
  StructureCheck check(source);
  json::sax_parse(text, &check);
  json value;
  try {
    value = json::parse(text);
  } catch (const json::parse_error& error) {
    throw make_error("{}: not valid JSON (near byte {})", source, error.byte);
  } catch (const json::exception&) {
    throw make_error("{}: not valid JSON (a number out of range)", source);
  }
  if (!value.is_object()) {
    throw make_error("{}: expected a JSON object, found {}", source, value.type_name());
  }
  return value;
}

json read_json_object(const std::filesystem::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() > kMaxJsonBytes) {
    throw make_error("{}: {} bytes, expected at most {} of JSON", path.string(), bytes.size(),
                     kMaxJsonBytes);
  }
  return parse_json_object({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                           path.string());
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMaxLength = 200;
  std::string shown(text.substr(0, kMaxLength));
  if (text.size() > kMaxLength) shown += "...";
  return json(std::move(shown)).dump(-1, ' ', true, json::error_handler_t::replace);
}

}  // namespace fvlm
