// A certificate that signs itself, for tests of TLS.
#pragma once

#include <string>

namespace fvlm {

// For an hour and for `host`, and its key, in files of PEM.
void make_certificate(const std::string& host, const std::string& certificate_file,
                      const std::string& key_file);

}  // namespace fvlm
