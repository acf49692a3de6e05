// The decision about every key that Apple's and Transformers' loaders read from a checkpoint's JSON
// files: done, done for some values only, or without influence here, and why. The readers hold each
// object against its table, so no key that changes the result goes unnoticed: a value that is not
// done is refused, a key without a decision is named in a warning.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/config/config_object.hpp"

namespace fvlm {

enum class KeyUse : unsigned char {
  kRead,        // the reader does what it says, or refuses it
  kOnly,        // absent or one of the values `only`, else refused
  kIrrelevant,  // changes no answer here
};

struct ConfigKey {
  std::string_view name;
  KeyUse use = KeyUse::kRead;
  std::string_view only = {};  // a JSON list of values
  std::string_view why = {};   // of kIrrelevant; what the key would do, of kOnly
};

// A table is put together from what several objects have in common.
using ConfigKeys = std::vector<std::span<const ConfigKey>>;

const ConfigKeys& llava_keys();             // config.json, "llava_qwen2"
const ConfigKeys& fast_vlm_keys();          // config.json, "fast_vlm"
const ConfigKeys& text_config_keys();       // "text_config" in it
const ConfigKeys& vision_config_keys();     // "vision_config" in either
const ConfigKeys& rope_keys();              // "rope_scaling", "rope_parameters"
const ConfigKeys& generation_keys();        // generation_config.json of the fast_vlm layout
const ConfigKeys& processor_keys();         // processor_config.json
const ConfigKeys& image_processor_keys();   // "image_processor" in it, preprocessor_config.json
const ConfigKeys& adapter_keys();           // adapter_config.json
const ConfigKeys& tokenizer_config_keys();  // tokenizer_config.json

using ConfigWarning = std::function<void(const std::string& message)>;

// Throws Error for a value that is not done; tells `warn`, if there is one, of keys that are in no
// table.
void check_keys(const ConfigObject& object, const ConfigKeys& keys, const ConfigWarning& warn);

}  // namespace fvlm
