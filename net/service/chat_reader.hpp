// Reads what a chat asks: parses its body, decodes its images and makes the engine's requests. On
// threads of its own, so that long bodies do not delay cameras.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fvlm/engine.hpp"
#include "net/api/chat_request.hpp"
#include "net/api/fields.hpp"
#include "net/api/protocols.hpp"
#include "net/service/model_service.hpp"
#include "net/service/picture_pool.hpp"
#include "net/service/workers.hpp"

namespace fvlm::net {

struct ChatBody {
  std::string client;  // HttpRequest::client
  std::string text;
  std::shared_ptr<void> memory;  // HttpRequest::memory, until the images are decoded
};

struct ReadChat {
  ApiRequest asked;               // without the images' files
  std::vector<Request> requests;  // one for each prompt, without callbacks
  std::int64_t damaged_images = 0;
};

ApiError busy_error(const std::string& why);
// What a client is told of an Error (also Busy) that its prompt, the field `param`, led to.
ApiError error_of_prompt(const std::exception_ptr& error, const char* param);

class ChatReader {
 public:
  // `model` says which names are its own.
  ChatReader(const ModelService& model, PicturePool& pictures, int threads);

  // Calls `done` on one of the threads, unless `body` has expired before the work's turn comes.
  void read(const std::shared_ptr<const ChatBody>& body, const Protocol& protocol,
            const ChatLimits& limits, std::function<void(Read<ReadChat>)> done);
  // Finishes running work and drops the queue.
  void stop();

 private:
  using Wanted = std::weak_ptr<const ChatBody>;
  using Done = std::function<void(Read<ReadChat>)>;

  void parse(const Wanted& wanted, const Protocol& protocol, const ChatLimits& limits,
             const Done& done);

  const ModelService& model_;
  PicturePool& pictures_;
  Workers threads_;
  Workers low_;  // of large bodies, whose parsing would delay a camera's frames
};

}  // namespace fvlm::net
