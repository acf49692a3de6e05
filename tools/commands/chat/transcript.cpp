#include "tools/commands/chat/transcript.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/support/make_error.hpp"
#include "runtime/support/new_files.hpp"
#include "tools/commands/shared/report.hpp"

namespace fvlm {
namespace {

const char* name_of(Turn::Role role) {
  switch (role) {
    case Turn::Role::kSystem:
      return "system";
    case Turn::Role::kUser:
      return "user";
    case Turn::Role::kAssistant:
      break;
  }
  return "assistant";
}

std::string as_json(const std::vector<Turn>& conversation) {
  nlohmann::ordered_json turns = nlohmann::ordered_json::array();
  for (const Turn& turn : conversation) {
    turns.push_back(
        {{"role", name_of(turn.role)}, {"text", turn.text}, {"pictures", turn.images.size()}});
  }
  return json_line(turns);
}

std::string as_text(const std::vector<Turn>& conversation) {
  std::string text;
  for (const Turn& turn : conversation) {
    if (turn.role == Turn::Role::kSystem) text += "system: ";
    if (turn.role == Turn::Role::kUser) text += "> ";
    for (std::size_t i = 0; i < turn.images.size(); ++i) text += "<image> ";
    text += turn.text + "\n";
  }
  return text;
}

}  // namespace

void save_conversation(const std::filesystem::path& file, const std::vector<Turn>& conversation) {
  std::error_code none;
  if (std::filesystem::exists(file, none)) {
    throw make_error("{}: is there already; choose another name", file.string());
  }
  const std::filesystem::path partial = partial_name(file);
  std::ofstream stream(partial, std::ios::binary);
  stream << (file.extension() == ".json" ? as_json(conversation) : as_text(conversation));
  stream.close();
  if (!stream) throw_not_writable(file);
  put_in_place(partial, file);
}

}  // namespace fvlm
