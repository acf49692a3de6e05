// Why there is no camera or no server: one of a few causes, which the page says in its reader's
// language, and a text with names and what helps, which the log has.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

namespace fvlm::capture {

enum class Cause : std::uint8_t {
  kOther,  // the text alone says it
  // of a camera
  kOpening,
  kNoCamera,
  kNoDevice,
  kDeviceDenied,
  kDeviceBusy,
  kNoVideo,
  kNoFormat,
  kCameraGone,
  kNoFrames,
  kNoFolder,
  kNoPictures,
  kNoCommand,
  kCommandEnded,
  kNothingLeft,
  // of a server
  kNoServer,
  kUnknownName,
  kNoNetwork,
  kUnreachable,
  kUntrusted,
  kNoTls,
  kTlsFailed,
  kNoHandshake,
  kElsewhere,
  kWrongKey,
  kNoKey,
  kRefused,
  kNoWebSocket,
  kFull,
  kNotReady,
  kOtherProgram,
  kConnectionLost,
  kNoAnswer,
};

struct CauseName {
  Cause cause;
  const char* name;
};

// As messages to the page spell them, and as its texts have them.
inline constexpr std::array kCauses = {
    CauseName{Cause::kOther, ""},
    CauseName{Cause::kOpening, "opening"},
    CauseName{Cause::kNoCamera, "no_camera"},
    CauseName{Cause::kNoDevice, "no_device"},
    CauseName{Cause::kDeviceDenied, "device_denied"},
    CauseName{Cause::kDeviceBusy, "device_busy"},
    CauseName{Cause::kNoVideo, "no_video"},
    CauseName{Cause::kNoFormat, "no_format"},
    CauseName{Cause::kCameraGone, "camera_gone"},
    CauseName{Cause::kNoFrames, "no_frames"},
    CauseName{Cause::kNoFolder, "no_folder"},
    CauseName{Cause::kNoPictures, "no_pictures"},
    CauseName{Cause::kNoCommand, "no_command"},
    CauseName{Cause::kCommandEnded, "command_ended"},
    CauseName{Cause::kNothingLeft, "nothing_left"},
    CauseName{Cause::kNoServer, "no_server"},
    CauseName{Cause::kUnknownName, "unknown_name"},
    CauseName{Cause::kNoNetwork, "no_network"},
    CauseName{Cause::kUnreachable, "unreachable"},
    CauseName{Cause::kUntrusted, "untrusted"},
    CauseName{Cause::kNoTls, "no_tls"},
    CauseName{Cause::kTlsFailed, "tls_failed"},
    CauseName{Cause::kNoHandshake, "no_handshake"},
    CauseName{Cause::kElsewhere, "elsewhere"},
    CauseName{Cause::kWrongKey, "wrong_key"},
    CauseName{Cause::kNoKey, "no_key"},
    CauseName{Cause::kRefused, "refused"},
    CauseName{Cause::kNoWebSocket, "no_websocket"},
    CauseName{Cause::kFull, "full"},
    CauseName{Cause::kNotReady, "not_ready"},
    CauseName{Cause::kOtherProgram, "other_program"},
    CauseName{Cause::kConnectionLost, "connection_lost"},
    CauseName{Cause::kNoAnswer, "no_answer"},
};

constexpr const char* name_of(Cause cause) {
  return std::find_if(kCauses.begin(), kCauses.end(),
                      [cause](const CauseName& each) { return each.cause == cause; })
      ->name;
}

struct Trouble {
  Cause cause = Cause::kOther;
  std::string text{};

  bool operator==(const Trouble&) const = default;
};

}  // namespace fvlm::capture
