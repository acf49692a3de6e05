// Describes an image: describe MODEL IMAGE [PROMPT]
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

#include "fvlm/engine.hpp"

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::cerr << "usage: describe MODEL IMAGE [PROMPT]\n";
    return 2;
  }
  const std::string prompt = argc > 3 ? argv[3] : "Describe the image.";
  const auto engine = fvlm::Engine::load({.model_path = argv[1]});

  const auto bytes = fvlm::read_image_file(argv[2]);
  const auto reader = fvlm::open_image(bytes, argv[2]);
  fvlm::Request request;
  request.conversation.push_back({.text = prompt, .images = {engine->prepare(*reader)}});
  request.sampling.temperature = 0;
  request.on_text = [](std::string_view text) { std::cout << text << std::flush; };

  const fvlm::Result result = engine->run(std::move(request));
  std::cout << '\n';
  if (result.outcome == fvlm::Outcome::kFailed) throw fvlm::Error(result.error);
  std::cerr << engine->info().device << ": first token after " << result.statistics.ttft_s
            << " s, then " << result.statistics.tokens_per_second() << " tokens/s\n";
} catch (const std::exception& error) {
  std::cerr << "describe: " << error.what() << '\n';
  return 1;
}
