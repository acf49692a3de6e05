#include "capture/viewers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace fvlm::capture {
namespace {

constexpr std::chrono::milliseconds kPicturePatience{2'000};
constexpr std::uint64_t kUnderway = 2;  // pictures in flight to one page
constexpr char kBoundary[] = "fastvlm-frame";

net::SharedBytes bytes_of(const Picture& picture) {
  std::string bytes;
  bytes.reserve(picture.size());
  for (const Bytes& piece : picture.pieces) {
    if (piece.size > 0) bytes.append(reinterpret_cast<const char*>(piece.data), piece.size);
  }
  return net::share(std::move(bytes));
}

}  // namespace

bool Viewers::Page::is_free() const {
  return shown - acknowledged < kUnderway;
}

void Viewers::open(ViewerId id) {
  pages_.emplace(id, Page{});
  wish_();
}

void Viewers::set_form(ViewerId id, Form form) {
  const auto page = pages_.find(id);
  if (page != pages_.end()) page->second.form = form;
}

void Viewers::acknowledge(ViewerId id, const std::string& number) {
  const auto page = pages_.find(id);
  if (page == pages_.end()) return;
  std::uint64_t acknowledged = 0;
  std::from_chars(number.data(), number.data() + number.size(), acknowledged);
  if (acknowledged > page->second.shown) return;
  page->second.acknowledged = std::max(page->second.acknowledged, acknowledged);
  wish_();
}

void Viewers::wait(net::ExchangeId id, net::HttpHeaders headers) {
  waiting_.push_back({id, Clock::now(), std::move(headers)});
  transport_.after(kPicturePatience, [this] { disappoint_late(); });
  wish_();
}

void Viewers::stream(net::ExchangeId id, net::HttpHeaders headers) {
  streams_.emplace(id, Stream{});
  transport_.begin_response(id,
                            {200, fmt::format("multipart/x-mixed-replace; boundary={}", kBoundary),
                             fmt::format("--{}\r\n", kBoundary), std::move(headers)},
                            net::StreamedBody::kUntilEnd);
}

void Viewers::flushed(net::ExchangeId id) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end()) return;
  stream->second.sending = false;
  wish_();
}

void Viewers::gone(net::ExchangeId id) {
  streams_.erase(id);
  std::erase_if(waiting_, [id](const Waiting& each) { return each.id == id; });
}

bool Viewers::wants_picture() const {
  const auto free = [](const auto& each) { return each.second.is_free(); };
  return !waiting_.empty() || std::any_of(pages_.begin(), pages_.end(), free) ||
         std::any_of(streams_.begin(), streams_.end(), free);
}

std::uint64_t Viewers::show(const Picture& picture, const TextOf& text_of) {
  std::uint64_t copied = 0;
  net::SharedBytes jpeg;  // both are made when the first one wants them, and once
  net::SharedBytes text;
  const auto need_jpeg = [&] {
    if (jpeg != nullptr) return;
    jpeg = bytes_of(picture);
    copied += jpeg->size();
  };
  for (auto& [id, page] : pages_) {
    if (!page.is_free()) continue;
    need_jpeg();
    const bool binary = page.form == Form::kBinary;
    if (!binary && text == nullptr) {
      text = net::share(text_of(*jpeg));
      copied += text->size();
    }
    transport_.send(id, binary ? jpeg : text, binary);
    transport_.ping(id, std::to_string(++page.shown));
  }
  for (auto& [id, stream] : streams_) {
    if (!stream.is_free()) continue;
    need_jpeg();
    stream.sending = true;
    transport_.add_to_response(
        id, fmt::format("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg->size()));
    transport_.add_to_response(id, jpeg);
    transport_.add_to_response(id, fmt::format("\r\n--{}\r\n", kBoundary));
  }
  for (const Waiting& each : std::exchange(waiting_, {})) {
    need_jpeg();
    transport_.respond(each.id, {200, "image/jpeg", *jpeg, each.headers});
    copied += jpeg->size();
  }
  return copied;
}

void Viewers::disappoint(const std::string& why) {
  for (const Waiting& each : std::exchange(waiting_, {})) {
    transport_.respond(each.id, net::text_response(503, why, each.headers));
  }
}

void Viewers::disappoint_late() {
  const bool late = !waiting_.empty() && Clock::now() - waiting_.front().since >= kPicturePatience;
  if (late) disappoint("no picture came");
}

void Viewers::stop() {
  disappoint("the camera client stops");
  for (const auto& [id, stream] : streams_) transport_.abandon_response(id);
}

}  // namespace fvlm::capture
