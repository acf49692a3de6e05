// What the engine leaves to the CUDA backend, here in the emulator: sampling on the device, and
// encoding images concurrently with decode steps. Answers are those of Ref.
#include "kernels/emulator/device.hpp"
#include "tests/runtime/engine/fixture.hpp"

namespace fvlm {
namespace {

Sampling sampling(double temperature, std::int64_t top_k, double top_p, double penalty) {
  Sampling how;
  how.temperature = temperature;
  how.top_k = top_k;
  how.top_p = top_p;
  how.repetition_penalty = penalty;
  how.max_new_tokens = 10;
  how.seed = 11;
  return how;
}

std::unique_ptr<Engine> load(Device device, Precision precision = Precision::kF32) {
  EngineOptions options;
  options.model_path = std::filesystem::path(FVLM_TEST_DATA) / "golden" / "tiny" / "checkpoint";
  options.device = device;
  options.precision = precision;
  options.threads = 1;
  options.context_tokens = 512;
  return Engine::load(options);
}

TEST(EngineCuda, TheDeviceChoosesAsTheHost) {
  const auto host = load(Device::kRef);
  const auto device = load(Device::kCudaEmulated);
  std::vector<Sampling> all = {
      sampling(0, 50, 1, 1),     sampling(0, 50, 1, 1.4),
      sampling(0.7, 50, 1, 1),   sampling(1.5, 64, 0.8, 1.2),
      sampling(1.2, 3, 0.95, 1), sampling(1.2, 0, 0.9, 1),  // the whole vocabulary: for the host
      sampling(1.2, 65, 1, 1),                              // likewise
  };
  all.push_back(sampling(0, 50, 1, 1));
  all.back().num_beams = 3;
  all.push_back(sampling(1.5, 50, 0.9, 1.2));
  all.back().frequency_penalty = 0.8;
  all.back().presence_penalty = -0.5;
  all.back().min_p = 0.2;
  all.back().logit_bias = {{100, 4}, {101, 4}, {102, -100}};
  for (const Sampling& how : all) {
    SCOPED_TRACE(testing::Message() << how.temperature << ", top " << how.top_k << ", " << how.top_p
                                    << ", penalty " << how.repetition_penalty);
    Request request = ask("count: " + digits(9));
    request.sampling = how;
    EXPECT_EQ(device->run(request).tokens, host->run(request).tokens);
  }
}

// Requests with different ways in one pass.
TEST(EngineCuda, EachRequestOfAPassHasItsOwnWay) {
  const std::vector<Sampling> all = {sampling(0, 50, 1, 1), sampling(1.1, 20, 0.9, 1.3),
                                     sampling(0.9, 64, 1, 1)};
  const auto answers = [&](Device device) {
    const auto engine = load(device);
    std::vector<Listener> listeners(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      Request request = ask("name " + digits(4, static_cast<std::int64_t>(i)));
      request.sampling = all[i];
      engine->submit(listeners[i].attach(std::move(request)));
    }
    std::vector<std::vector<std::int32_t>> tokens;
    for (Listener& listener : listeners) tokens.push_back(listener.result().tokens);
    return tokens;
  };
  EXPECT_EQ(answers(Device::kCudaEmulated), answers(Device::kRef));
}

// Drafts are verified under penalties: each row's are those of the proposed tokens before it.
TEST(EngineCuda, DraftsUnderPenalties) {
  const auto host = load(Device::kRef);
  const auto device = load(Device::kCudaEmulated);
  Request request = ask("go on: " + digits(9), {}, 24);
  request.sampling = sampling(0.9, 20, 1, 1.1);
  request.sampling.max_new_tokens = 24;
  request.sampling.frequency_penalty = 0.6;
  request.sampling.presence_penalty = 0.3;
  const auto want = host->run(request).tokens;
  request.live = LiveView{.id = 1};
  EXPECT_EQ(device->run(request).tokens, want);
  const Result drafted = device->run(request);
  EXPECT_EQ(drafted.tokens, want);
  EXPECT_GT(drafted.statistics.accepted_tokens, 10);
}

// Log probabilities need the logits: a pass with one request that asks for them brings them back.
TEST(EngineCuda, Logprobs) {
  const auto host = load(Device::kRef);
  const auto device = load(Device::kCudaEmulated);
  Request request = ask("count: " + digits(9), {}, 6);
  request.sampling.logprobs = 3;
  const Result want = host->run(request);
  const Result found = device->run(request);
  ASSERT_EQ(found.tokens, want.tokens);
  ASSERT_EQ(found.logprobs.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(found.logprobs[i].chosen.logprob, want.logprobs[i].chosen.logprob, 1e-4);
    EXPECT_EQ(found.logprobs[i].top.size(), 3U);
  }
}

// In bfloat16, with the GEMMs that devices with and without wgmma have.
TEST(EngineCuda, ABatchChangesNoAnswer) {
  for (const auto* device : {&emulator::kSmallDevice, &emulator::kLargeDevice}) {
    SCOPED_TRACE(device->name);
    const emulator::OnDevice here(*device);
    std::vector<Request> requests;
    for (std::int64_t i = 0; i < 3; ++i) {
      requests.push_back(ask("tell " + digits(7 * i), {picture(60 + 30 * i, 70, 1)}, 8));
      requests.back().sampling = sampling(1.3, 40, 0.95, 1.1);
    }
    std::vector<std::vector<std::int32_t>> alone;
    for (const Request& request : requests) {
      alone.push_back(load(Device::kCudaEmulated, Precision::kBF16)->run(request).tokens);
    }
    const auto engine = load(Device::kCudaEmulated, Precision::kBF16);
    std::vector<Listener> listeners(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      engine->submit(listeners[i].attach(requests[i]));
    }
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(listeners[i].result().tokens, alone[i]) << i;
    }
    EXPECT_GT(engine->counters().decode_batches.sum(), engine->counters().decode_batches.count());
  }
}

// While images are encoded the steps of an answer go on. Then one of two requests whose images are
// encoded together is cancelled.
TEST(EngineCuda, ImagesAreEncodedBesideAnswers) {
  const auto engine = load(Device::kCudaEmulated);
  const auto host = load(Device::kRef);
  const Request text = ask("tell " + digits(5), {}, 16);
  const Request look = ask("look", {picture(90, 50, 1)}, 6);
  Listener talks;
  Listener looks;
  Listener ends;
  std::int64_t pieces = 0;
  talks.on_piece = [&] {
    if (++pieces != 3) return;
    engine->submit(looks.attach(look));
    const RequestId id = engine->submit(ends.attach(ask("look", {picture(60, 70, 2)}, 6)));
    looks.on_piece = [&engine, id] { engine->cancel(id); };
  };
  engine->submit(talks.attach(text));
  EXPECT_EQ(talks.result().tokens, host->run(text).tokens);
  EXPECT_EQ(looks.result().tokens, host->run(look).tokens);
  EXPECT_NE(ends.result().outcome, Outcome::kFailed);
  EXPECT_EQ(engine->counters().encoder_batches.sum(), 2);
  EXPECT_EQ(engine->counters().encoder_batches.count(), 1);
}

// Cancelled while its image is encoded, a request is forgotten before it is read.
TEST(EngineCuda, ARequestMayEndWhileItsImageIsEncoded) {
  const auto engine = load(Device::kCudaEmulated);
  Listener talks;
  Listener ends;
  RequestId id = 0;
  std::int64_t pieces = 0;
  talks.on_piece = [&] {
    ++pieces;
    if (pieces == 3) id = engine->submit(ends.attach(ask("look", {picture(60, 70, 2)}, 6)));
    if (pieces == 4) engine->cancel(id);  // a step later: it is being encoded
  };
  engine->submit(talks.attach(ask("tell " + digits(5), {}, 12)));
  EXPECT_EQ(talks.result().tokens.size(), 12U);
  EXPECT_EQ(ends.result().outcome, Outcome::kCancelled);
  EXPECT_EQ(engine->counters().encoder_batches.count(), 1);
  EXPECT_EQ(engine->counters().prefill_batches.count(), 1);
}

}  // namespace
}  // namespace fvlm
