// Chat completions as OpenAI defines them: one request over HTTP, one answer, whole or as a stream
// of events. For the transport's thread; requests are read and their pictures decoded on threads of
// its own, so that cameras need not wait for long bodies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "fvlm/engine.hpp"
#include "net/http/quota.hpp"
#include "net/http/transport.hpp"
#include "net/process/log.hpp"
#include "net/service/inbox.hpp"
#include "net/service/metrics.hpp"
#include "net/service/openai.hpp"
#include "net/service/picture_pool.hpp"
#include "net/service/stop_filter.hpp"
#include "net/service/workers.hpp"

namespace fvlm::net {

struct ChatOptions {
  std::string model{};  // the name that clients call the model by; empty: the engine's
  std::int64_t max_new_tokens = 256;
  std::size_t max_chats = 256;            // at a time
  std::size_t max_chats_per_address = 0;  // of these; 0: a quarter
  int readers = 2;                        // threads
};

class ChatService {
 public:
  ChatService(Engine& engine, Transport& transport, std::shared_ptr<Inbox> inbox,
              PicturePool& pictures, Metrics& metrics, Log log, ChatOptions options);
  // Cancels what is begun.
  ~ChatService();
  ChatService(const ChatService&) = delete;
  ChatService& operator=(const ChatService&) = delete;

  // Answers a request for /v1/..., at once or, with nothing, later through the transport.
  std::optional<HttpResponse> answer(ExchangeId id, HttpRequest request);
  // Nobody waits for the answer any more.
  void abandon(ExchangeId id);
  // From now on new requests are refused.
  void drain() { draining_ = true; }

  std::int64_t running() const { return static_cast<std::int64_t>(chats_.size()); }

 private:
  // A request's body: gone with the chat, so that nobody works for a client that has left.
  using Body = std::weak_ptr<const std::string>;
  struct Chat {
    std::string peer{};
    std::string origin{};                       // of the page that asks, if one does
    Quota::Lease place{};                       // among the chats of its address
    std::shared_ptr<const std::string> body{};  // until the engine has its request
    ChatAnswer answer{};
    bool stream = false;
    StopFilter stop{};
    std::string text{};                  // so far
    bool begun = false;                  // the head of a stream is sent
    std::optional<RequestId> request{};  // once the engine has it
  };

  std::optional<HttpResponse> answer_models(const HttpRequest& request) const;
  std::optional<HttpResponse> begin(ExchangeId id, HttpRequest request);
  // On threads of the readers', one after the other, unless the client has left.
  void read(ExchangeId id, const Body& body);
  void submit(ExchangeId id, const ChatRequest& chat, PicturePool::Prepared prepared);
  Request make_request(ExchangeId id, const ChatRequest& chat, std::vector<Picture> pictures);
  void refuse(ExchangeId id, ApiError error);

  void accept(ExchangeId id, const ChatRequest& request);
  void on_submitted(ExchangeId id, RequestId request);
  void on_text(ExchangeId id, const std::string& text);
  void on_done(ExchangeId id, const Result& result);
  void say(ExchangeId id, Chat& chat, const std::string& text);
  void finish(ExchangeId id, const Chat& chat, const char* finish_reason,
              const Statistics& statistics);
  void fail(ExchangeId id, const ApiError& error);

  Engine& engine_;
  Transport& transport_;
  std::shared_ptr<Inbox> inbox_;
  PicturePool& pictures_;
  Metrics& metrics_;
  Log log_;
  ChatOptions options_;
  Quota addresses_;       // what each has of the chats
  std::int64_t started_;  // seconds since 1970
  std::string id_prefix_;
  std::map<ExchangeId, Chat> chats_;
  bool draining_ = false;
  Workers readers_;
};

}  // namespace fvlm::net
