// Tokens chosen where the logits are, by the emulated CUDA backend, are those that the host chooses
// for Ref: for every way to choose, and for those that are left to the host.
#include "tests/engine_fixture.hpp"

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

std::unique_ptr<Engine> load(Device device) {
  EngineOptions options;
  options.model_path = std::filesystem::path(FVLM_TEST_DATA) / "golden" / "tiny" / "checkpoint";
  options.device = device;
  options.precision = Precision::kF32;
  options.threads = 1;
  options.context_tokens = 512;
  return Engine::load(options);
}

TEST(EngineSampling, TheDeviceChoosesAsTheHost) {
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
  for (const Sampling& how : all) {
    SCOPED_TRACE(testing::Message() << how.temperature << ", top " << how.top_k << ", " << how.top_p
                                    << ", penalty " << how.repetition_penalty);
    Request request = ask("count: " + digits(9));
    request.sampling = how;
    EXPECT_EQ(device->run(request).tokens, host->run(request).tokens);
  }
}

// Requests with different ways in one pass.
TEST(EngineSampling, EachRequestOfAPassHasItsOwnWay) {
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

}  // namespace
}  // namespace fvlm
