// What the client counts, from all its threads. Page::metrics() writes them for Prometheus.
#pragma once

#include <atomic>
#include <cstdint>

namespace fvlm::capture {

class Counter {
 public:
  void add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  operator std::uint64_t() const { return value(); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

struct Counters {
  // The source.
  Counter opened{};         // times it could be opened
  Counter lost{};           // times it could not, or went away
  Counter captured{};       // good frames
  Counter damaged{};        // short, marked by the driver, no whole JPEG
  Counter dropped{};        // missing in the driver's numbering
  Counter replaced{};       // by a newer one, before they were requested
  Counter passed{};         // pictures that are the camera's own JPEG (passthrough)
  Counter compressed{};     // pictures compressed by the client
  Counter rescaled{};       // JPEGs scaled down by the client
  Counter transformed{};    // JPEGs decoded and compressed again for a Transform
  Counter encode_micros{};  // CPU time of compression
  // Bytes copied in memory, by reason.
  Counter copied_rows{};     // into the encoder's row buffer
  Counter copied_masked{};   // for the server: a WebSocket client masks its bytes
  Counter copied_viewers{};  // for all viewers together
  // The server.
  Counter connected{};
  Counter disconnected{};
  Counter sent{};
  Counter sent_bytes{};
  Counter described{};
  Counter skipped{};
  Counter failed{};
  Counter unanswered{};  // the connection was lost first
};

}  // namespace fvlm::capture
