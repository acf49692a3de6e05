// Copies of the tiny golden checkpoint that a test may change, down to single bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/temporary_folder.hpp"

namespace fvlm {

inline const std::filesystem::path kGoldenTiny =
    std::filesystem::path(FVLM_TEST_DATA) / "golden" / "tiny";
inline const std::string kCheckpoint = (kGoldenTiny / "checkpoint").string();
inline const std::string kImage = (kGoldenTiny / "images" / "small.png").string();

class CheckpointCopy {
 public:
  CheckpointCopy() { std::filesystem::copy(kGoldenTiny / "checkpoint", folder_.path()); }

  std::string path() const { return folder_.path().string(); }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }
  std::filesystem::path weights() const { return folder_ / "model.safetensors"; }

  // Calls change(config) and writes it back.
  template <class Change>
  void change_config(const Change& change) const {
    const std::filesystem::path file = folder_ / "config.json";
    nlohmann::json config = nlohmann::json::parse(read_file(file));
    change(config);
    write_file(file, config.dump());
  }

  // Calls change(header, data), the two parts of the safetensors file, and writes them back.
  template <class Change>
  void change_weights(const Change& change) const {
    const std::string content = read_file(weights());
    std::uint64_t header_length = 0;
    std::memcpy(&header_length, content.data(), sizeof(header_length));
    const std::size_t data_begin = sizeof(header_length) + header_length;
    auto header =
        nlohmann::ordered_json::parse(content.substr(sizeof(header_length), header_length));
    std::string data = content.substr(data_begin);
    change(header, data);
    const std::string text = header.dump();
    header_length = text.size();
    std::string length(sizeof(header_length), '\0');
    std::memcpy(length.data(), &header_length, sizeof(header_length));
    write_file(weights(), length + text + data);
  }

 private:
  TemporaryFolder folder_;
};

// A model whose greedy answers end only with the context: the rows of the tied embedding that stand
// for control tokens, or for none, are zero, so other tokens are always likelier.
class EndlessCheckpoint : public CheckpointCopy {
 public:
  EndlessCheckpoint() {
    change_weights([](const nlohmann::ordered_json& header, std::string& data) {
      constexpr std::size_t kFirstControlToken = 997;
      const auto& embedding = header.at("model.embed_tokens.weight");
      const auto begin = embedding["data_offsets"][0].get<std::size_t>();
      const auto end = embedding["data_offsets"][1].get<std::size_t>();
      const std::size_t row = (end - begin) / embedding["shape"][0].get<std::size_t>();
      std::memset(data.data() + begin + kFirstControlToken * row, 0,
                  end - begin - kFirstControlToken * row);
    });
  }
};

}  // namespace fvlm
