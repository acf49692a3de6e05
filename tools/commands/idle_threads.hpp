// How long OpenMP's threads spin before they sleep when one loop has ended and the next has not
// begun.
#pragma once

namespace fvlm {

// Has them spin for microseconds: long enough for what lies between the loops of a pass. libgomp's
// own milliseconds take the processor from other programs and, where these have it, from each
// other: on a machine with other work a model loads and answers ten times as slowly. libgomp reads
// its settings before main(), so this starts the program anew, with the same process number; not if
// the environment has OMP_WAIT_POLICY or GOMP_SPINCOUNT, and if it cannot, it goes on as it is.
void shorten_spins(char** arguments);

}  // namespace fvlm
