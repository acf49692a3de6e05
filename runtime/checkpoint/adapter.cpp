#include "runtime/checkpoint/adapter.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/config/json_file.hpp"

namespace fvlm {

double Adapter::scale(std::int64_t rank) const {
  const auto r = static_cast<double>(rank);
  return alpha / (rank_stabilised ? std::sqrt(r) : r);
}

Adapter read_adapter(const std::filesystem::path& folder, const ConfigWarning& warn) {
  const auto path = folder / "adapter_config.json";
  std::error_code unreadable;
  if (!std::filesystem::exists(path, unreadable)) return {};
  const nlohmann::json json = read_json_object(path);
  const ConfigObject config(path.string(), json);
  check_keys(config, adapter_keys(), warn);
  return {config.positive("lora_alpha"), config.boolean("use_rslora").value_or(false)};
}

AdapterName parse_adapter_name(std::string_view stored) {
  AdapterName parsed;
  parsed.name = stored;
  std::string& name = parsed.name;
  for (const std::string_view wrapper : {"base_model.model.", "base_model."}) {
    if (name.starts_with(wrapper)) {
      name.erase(0, wrapper.size());
      break;
    }
  }
  if (name.starts_with("model.model.")) name.erase(0, std::string_view("model.").size());
  // "x.lora_A.weight", "x.lora_A.default.weight" -> "x.weight"
  const auto cut = [&name](std::string_view piece) {
    const std::size_t at = name.find(piece);
    if (at == std::string::npos) return false;
    name.erase(at, piece.size());
    return true;
  };
  cut(".base_layer");
  if (!cut(".modules_to_save.default")) cut(".modules_to_save");
  if (cut(".original_module")) parsed.part = AdapterName::Part::kOriginal;
  cut(".default");
  if (cut(".lora_A")) parsed.part = AdapterName::Part::kA;
  if (cut(".lora_B")) parsed.part = AdapterName::Part::kB;
  return parsed;
}

}  // namespace fvlm
