// See json_leaves.hpp.
#include "runtime/config/json_leaves.hpp"

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/support/make_error.hpp"
#include "runtime/config/json_file.hpp"

namespace fvlm {
namespace {

using nlohmann::json;

class LeafReader final : public nlohmann::json_sax<json> {
 public:
  LeafReader(const std::string& file, const JsonLeafVisitor& visit) : file_(file), visit_(visit) {}

  bool null() override { return leaf(nullptr); }
  bool boolean(bool value) override { return leaf(value); }
  bool number_integer(number_integer_t value) override { return leaf(value); }
  bool number_unsigned(number_unsigned_t value) override { return leaf(value); }
  bool number_float(number_float_t value, const string_t& /*digits*/) override {
    return leaf(value);
  }
  bool string(string_t& value) override { return leaf(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none

  bool start_object(std::size_t /*size*/) override { return open(std::nullopt); }
  bool start_array(std::size_t /*size*/) override { return open(0); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    key_.swap(name);
    return true;
  }

  bool parse_error(std::size_t /*position*/, const std::string& /*last_token*/,
                   const json::exception& error) override {
    throw make_error("{}: not valid JSON: {}", file_, error.what());
  }

 private:
  struct Container {
    std::size_t outer_path_length;
    std::optional<std::size_t> next_index;  // of an array
  };

  bool leaf(json value) {
    count_element();
    visit_(path_, key_, value);
    return true;
  }

  bool open(std::optional<std::size_t> first_index) {
    if (containers_.size() == kMaxJsonDepth) {
      throw make_error("{}: JSON nested deeper than {} levels", file_, kMaxJsonDepth);
    }
    count_element();
    const std::size_t outer_path_length = path_.size();
    if (!path_.empty()) path_ += '.';
    path_ += key_;
    containers_.push_back({outer_path_length, first_index});
    return true;
  }

  bool close() {
    path_.resize(containers_.back().outer_path_length);
    containers_.pop_back();
    return true;
  }

  // In an array the key is the index.
  void count_element() {
    if (containers_.empty() || !containers_.back().next_index) return;
    key_ = std::to_string((*containers_.back().next_index)++);
  }

  const std::string& file_;
  const JsonLeafVisitor& visit_;
  std::string path_;
  std::string key_;
  std::vector<Container> containers_;
};

}  // namespace

void for_each_json_leaf(std::string_view text, const std::string& file,
                        const JsonLeafVisitor& visit) {
  // The parser would take a zero byte for the end.
  const std::size_t zero = text.find('\0');
  if (zero != text.npos) throw make_error("{}: not valid JSON (zero byte at {})", file, zero);
  LeafReader reader(file, visit);
  json::sax_parse(text, &reader);
}

}  // namespace fvlm
