#include "net/http/api_keys.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace fvlm::net {
namespace {

constexpr std::size_t kMostKeys = 1000;  // each is a series of metrics
constexpr std::size_t kLongestName = 64;

struct Problem {
  std::string text;
};

bool is_name(std::string_view text) {
  constexpr std::string_view kOther = "-_.";
  return !text.empty() && text.size() <= kLongestName &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  kOther.find(c) != kOther.npos;
         });
}

std::optional<KeyDigest> digest_from_hex(std::string_view hex) {
  KeyDigest digest{};
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const char* const first = hex.data() + 2 * i;
    const auto [end, error] = std::from_chars(first, first + 2, digest[i], 16);
    if (error != std::errc() || end != first + 2) return std::nullopt;
  }
  return digest;
}

void read_limit(std::string_view word, KeyLimits& limits) {
  const std::size_t equals = std::min(word.find('='), word.size());
  const std::string_view name = word.substr(0, equals);
  std::size_t* limit = name == "requests-per-minute" ? &limits.requests_per_minute
                       : name == "streams"           ? &limits.streams
                       : name == "waiting-frames"    ? &limits.waiting_frames
                                                     : nullptr;
  if (limit == nullptr || equals == word.size()) {
    throw Problem{
        "after the key only requests-per-minute=N, streams=N and waiting-frames=N may stand"};
  }
  const char* const end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data() + equals + 1, end, *limit);
  if (error != std::errc() || rest != end || *limit == 0 || *limit > 1'000'000'000) {
    throw Problem{fmt::format("{} wants a number above 0", name)};
  }
}

std::string cannot_open(const std::string& file) {
  return fmt::format("{}: cannot be opened: {}", file, std::strerror(errno));
}

ApiKey read_line(const std::string& line) {
  constexpr std::string_view kHash = "sha256:";
  std::istringstream words(line);
  std::string entry;
  words >> entry;
  const std::size_t colon = std::min(entry.find(':'), entry.size());
  ApiKey key{.name = entry.substr(0, colon)};
  const std::string_view secret = std::string_view(entry).substr(std::min(colon + 1, entry.size()));
  if (secret.empty()) throw Problem{"expected NAME:KEY or NAME:sha256:HEX"};
  if (!is_name(key.name)) {
    throw Problem{
        fmt::format("a name has letters, digits and -_. alone, at most {}", kLongestName)};
  }
  if (secret.starts_with(kHash)) {
    const auto digest = digest_from_hex(secret.substr(kHash.size()));
    if (!digest) throw Problem{"sha256: wants 64 hexadecimal digits"};
    key.digest = *digest;
  } else {
    key.digest = digest_of(secret);
  }
  for (std::string word; words >> word;) read_limit(word, key.limits);
  return key;
}

void add(ApiKey key, std::vector<ApiKey>& keys) {
  for (const ApiKey& other : keys) {
    if (other.name == key.name) throw Problem{fmt::format("{} is there twice", key.name)};
    if (other.digest == key.digest) {
      throw Problem{fmt::format("{} and {} have the same key", other.name, key.name)};
    }
  }
  if (keys.size() == kMostKeys) throw Problem{fmt::format("at most {} keys may stand", kMostKeys)};
  keys.push_back(std::move(key));
}

}  // namespace

KeyDigest digest_of(std::string_view key) {
  KeyDigest digest{};
  unsigned int size = 0;
  if (EVP_Digest(key.data(), key.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != digest.size()) {
    throw std::runtime_error("OpenSSL has no SHA-256");
  }
  return digest;
}

std::string read_key(const std::string& file, const std::string& flag) {
  std::ifstream lines(file);
  if (!lines) throw std::runtime_error(flag + " " + cannot_open(file));
  std::string key;
  if (!std::getline(lines, key) || key.empty()) {
    throw std::runtime_error(flag + " " + file +
                             ": expected a key in its first line, which is empty");
  }
  return key;
}

std::vector<ApiKey> read_key_list(const std::string& file) {
  std::ifstream lines(file);
  if (!lines) throw std::runtime_error(cannot_open(file));
  std::vector<ApiKey> keys;
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos || line[first] == '#') continue;
    try {
      add(read_line(line), keys);
    } catch (const Problem& problem) {
      throw std::runtime_error(fmt::format("{}:{}: {}", file, number, problem.text));
    }
  }
  if (lines.bad()) throw std::runtime_error(file + ": cannot be read");
  if (keys.empty()) throw std::runtime_error(file + ": there is no key in it");
  return keys;
}

std::string readable_by_others(const std::string& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0 || (status.st_mode & (S_IRGRP | S_IROTH)) == 0) return {};
  return fmt::format("{} may be read by others than its owner; chmod 600 {} forbids it", file,
                     file);
}

const ApiKey* find_key(const std::vector<ApiKey>& keys, std::string_view given) {
  const KeyDigest digest = digest_of(given);
  const ApiKey* found = nullptr;
  for (const ApiKey& key : keys) {
    if (CRYPTO_memcmp(key.digest.data(), digest.data(), digest.size()) == 0) found = &key;
  }
  return found;
}

}  // namespace fvlm::net
