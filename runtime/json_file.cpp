// Strict JSON on top of nlohmann's parser, which checks UTF-8 but accepts repeated keys (the last
// one wins), a byte order mark, and anything after a zero byte.
#include "runtime/json_file.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "fvlm/core/error.hpp"
#include "runtime/mapped_file.hpp"

namespace fvlm {

using nlohmann::json;

namespace {

constexpr std::size_t kMaxJsonBytes = 100'000'000;
// Files of ours nest three levels and hold some ten thousand values. The bounds keep "[[[[..." and
// "[0,0,0,..." from costing twenty times their own size in memory.
constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxValues = 2'000'000;

// Watches a parse and throws Error at a repeated key, deep nesting, or too many values.
class StructureCheck {
 public:
  explicit StructureCheck(const std::string& source) : source_(source) {}

  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    if (depth > kMaxDepth) throw Error("{}: JSON nested deeper than {} levels", source_, kMaxDepth);
    if (++events_ > kMaxValues) throw Error("{}: more than {} JSON values", source_, kMaxValues);
    if (event == json::parse_event_t::object_start) {
      keys_.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys_.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        throw Error("{}: key {} appears twice in one object", source_, in_quotes(key));
      }
    }
    return true;
  }

 private:
  const std::string& source_;
  std::size_t events_ = 0;
  std::vector<std::set<std::string>> keys_;  // of each object that is still open
};

}  // namespace

json parse_json_object(std::string_view text, const std::string& source) {
  const std::size_t zero = text.find('\0');
  if (zero != std::string_view::npos) {
    throw Error("{}: not valid JSON (zero byte at {})", source, zero);
  }
  if (text.starts_with("\xef\xbb\xbf")) {
    throw Error("{}: not valid JSON (it begins with a byte order mark)", source);
  }
  json value;
  try {
    value = json::parse(text.begin(), text.end(), StructureCheck(source));
  } catch (const json::parse_error& error) {
    throw Error("{}: not valid JSON (near byte {})", source, error.byte);
  } catch (const json::exception&) {
    throw Error("{}: not valid JSON (a number out of range)", source);
  }
  if (!value.is_object()) {
    throw Error("{}: expected a JSON object, found {}", source, value.type_name());
  }
  return value;
}

json read_json_object(const std::filesystem::path& path) {
  const MappedFile file(path);
  const auto bytes = file.bytes();
  if (bytes.size() > kMaxJsonBytes) {
    throw Error("{}: {} bytes, expected at most {} of JSON", path.string(), bytes.size(),
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
