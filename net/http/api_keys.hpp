// API keys with names and limits. Only their SHA-256 is kept, so that a key is compared in constant
// time whatever its length, and none can be read from memory or, if the file has digests, from
// disk.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fvlm::net {

// Of one key; 0: none.
struct KeyLimits {
  std::size_t requests_per_minute = 0;  // chat completions, and frames that are described
  std::size_t streams = 0;              // WebSockets and chat completions, at a time
  std::size_t waiting_frames = 0;       // queued, of all its connections
};

using KeyDigest = std::array<std::uint8_t, 32>;
KeyDigest digest_of(std::string_view key);  // SHA-256

struct ApiKey {
  std::string name{};  // in logs and metrics, where the key must not be
  KeyDigest digest{};
  KeyLimits limits{};
};

// The key in a file's first line. Throws std::runtime_error, naming the file and the flag that said
// it, if there is none.
std::string read_key(const std::string& file, const std::string& flag);

// The keys of a file: in each line NAME:KEY or NAME:sha256:HEX, then limits such as streams=4.
// Empty lines and those that begin with # do not count. Throws std::runtime_error, naming file and
// line, and never a key, if something is wrong, also if there is no key at all.
std::vector<ApiKey> read_key_list(const std::string& file);

// What to warn of if others than its owner may read a file of keys; empty if nobody else may.
std::string readable_by_others(const std::string& file);

// The key that is `given`, or none. Takes the same time for each.
const ApiKey* find_key(const std::vector<ApiKey>& keys, std::string_view given);

}  // namespace fvlm::net
