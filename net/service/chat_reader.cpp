#include "net/service/chat_reader.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

namespace fvlm::net {
namespace {

constexpr std::size_t kLargeBody = std::size_t{1} << 20;

std::vector<std::string> take_files(ChatRequest& chat) {
  std::vector<std::string> files;
  for (ChatTurn& turn : chat.turns) {
    for (std::string& file : turn.images) files.push_back(std::move(file));
  }
  return files;
}

// `images` are those of all turns, in their order.
std::vector<Request> make_requests(const ChatRequest& chat, std::vector<PreparedImage> images) {
  Request request;
  request.sampling = chat.sampling;
  request.grammar = chat.grammar;
  std::vector<Request> requests(chat.raw.size(), request);
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].raw = chat.raw[i];
  if (chat.turns.empty()) return requests;
  auto next = std::make_move_iterator(images.begin());
  for (const ChatTurn& turn : chat.turns) {
    const auto end = next + std::ssize(turn.images);
    request.conversation.push_back({.role = turn.role,
                                    .text = turn.text,
                                    .images = std::vector<PreparedImage>(next, end),
                                    .image_places = turn.image_places});
    next = end;
  }
  requests.push_back(std::move(request));
  return requests;
}

Read<ReadChat> finish(ApiRequest asked, PicturePool::Prepared prepared, const char* param) {
  if (const auto* error = std::get_if<std::exception_ptr>(&prepared)) {
    return error_of_prompt(*error, param);
  }
  auto& images = std::get<std::vector<PreparedImage>>(prepared);
  const auto damaged = std::ranges::count_if(images, [](const auto& i) { return i.warnings > 0; });
  std::vector<Request> requests = make_requests(asked.chat, std::move(images));
  return ReadChat{std::move(asked), std::move(requests), damaged};
}

}  // namespace

ApiError busy_error(const std::string& why) {
  return {.status = 429, .message = why, .type = "rate_limit_error", .code = "busy"};
}

ApiError error_of_prompt(const std::exception_ptr& error, const char* param) {
  try {
    std::rethrow_exception(error);
  } catch (const Busy& busy) {
    return busy_error(busy.what());
  } catch (const PromptTooLong& too_long) {
    return {.message = too_long.what(), .param = param, .code = "context_length_exceeded"};
  } catch (const std::exception& other) {
    return {.message = other.what(), .param = param};
  }
}

ChatReader::ChatReader(const ModelService& model, PicturePool& pictures, int threads)
    : model_(model), pictures_(pictures), threads_(threads), low_(1, Priority::kLow) {}

void ChatReader::stop() {
  low_.stop();
  threads_.stop();
}

void ChatReader::read(const std::shared_ptr<const ChatBody>& body, const Protocol& protocol,
                      const ChatLimits& limits, Done done) {
  Workers& threads = body->text.size() < kLargeBody ? threads_ : low_;
  threads.put([this, wanted = Wanted(body), &protocol, limits, done = std::move(done)] {
    parse(wanted, protocol, limits, done);
  });
}

void ChatReader::parse(const Wanted& wanted, const Protocol& protocol, const ChatLimits& limits,
                       const Done& done) {
  auto body = wanted.lock();
  if (!body) return;
  auto read = read_request(protocol, body->text, limits);
  const std::shared_ptr<void> memory = body->memory;
  const std::string client = body->client;
  body.reset();
  if (const auto* error = std::get_if<ApiError>(&read)) return done(*error);
  const auto asked = std::make_shared<ApiRequest>(std::get<ApiRequest>(std::move(read)));
  if (!model_.serves(asked->chat.model)) return done(model_.not_found(asked->chat.model));
  pictures_.prepare(
      client, take_files(asked->chat), wanted,
      [this, wanted, memory, done, param = protocol.prompt, asked](PicturePool::Prepared prepared) {
        threads_.put([wanted, done, param, asked, prepared = std::move(prepared)]() mutable {
          if (!wanted.expired()) done(finish(std::move(*asked), std::move(prepared), param));
        });
      });
}

}  // namespace fvlm::net
