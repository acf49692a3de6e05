// The turns of a conversation as whoever runs the program writes them: with flags, with lines of a
// chat. Everything that a command says to the engine is made here.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include "fvlm/engine.hpp"

namespace fvlm {

struct PromptOptions {
  std::string prompt = "Describe the image.";
  std::string prompt_file;
  std::string system;
};

// --prompt, --prompt-file and --system.
void add_prompt_flags(CLI::App& parser, PromptOptions& options);
// --system alone.
void add_system_flag(CLI::App& parser, std::string& system);

// The question that the flags ask. Throws Error if its file cannot be read or is empty.
std::string read_prompt(const PromptOptions& options);

// The user's turn, as predict.py makes it: each "<image>" in the text is the place of the next
// image; without any they precede the text, and without images it is plain text. Throws Error if
// there are marks, but not as many as images.
Turn user_turn(const std::string& text, std::vector<PreparedImage> images);

// What precedes a conversation: the turn of the system, if there is one. Without it the model is
// told Qwen2's default.
std::vector<Turn> opening(const std::string& system);

// One question.
Request make_request(const std::string& system, const std::string& prompt,
                     std::vector<PreparedImage> pictures, const Sampling& sampling);

}  // namespace fvlm
