// The id of a request, which ties its response to the lines of the logs of all that it went
// through: X-Request-Id, of the client or of a proxy if there is a usable one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fvlm::net {

// Short, and of letters, digits and what stands in ids and nowhere else: it goes into logs and
// headers as it is.
bool is_usable_request_id(std::string_view id);

// Makes ids that no other process makes.
class RequestIds {
 public:
  RequestIds();

  // `given`, if it is usable, else a new one.
  std::string choose(std::string_view given);

 private:
  std::uint64_t process_;
  std::uint64_t last_ = 0;
};

}  // namespace fvlm::net
