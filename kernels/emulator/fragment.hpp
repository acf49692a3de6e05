// What mma, ldmatrix and stmatrix do once all lanes of a warp have met: the layouts of
// ../cuda/primitives/fragment.hpp, spelt out element by element.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/emulator/block.hpp"

namespace fvlm::emulator {

// One lane's operands.
struct Mma {
  const std::uint32_t* a;  // [4]
  const std::uint32_t* b;  // [2]
  float* c;                // [4]
};

// The two elements of a register.
template <class E>
struct Pair {
  float first;
  float second;

  explicit Pair(std::uint32_t bits)
      : first(to_float(bits & 0xffffU)), second(to_float(bits >> 16)) {}

  static float to_float(std::uint32_t bits) {
    E element;
    element.bits = static_cast<std::uint16_t>(bits);
    return static_cast<float>(element);
  }
};

// c = a b. Its arrays are whole and local to multiply(): checks of each access would find nothing
// and take most of a test's time.
__attribute__((no_sanitize("address", "undefined"))) inline void multiply_arrays(
    const float (&a)[16][16], const float (&b)[16][8], float (&c)[16][8]) {
  using Four = float __attribute__((vector_size(16), aligned(4), may_alias));
  for (int r = 0; r < 16; ++r) {
    Four sums[2] = {};
    for (int k = 0; k < 16; ++k) {
      const auto* const columns = reinterpret_cast<const Four*>(b[k]);
      sums[0] += a[r][k] * columns[0];
      sums[1] += a[r][k] * columns[1];
    }
    auto* const to = reinterpret_cast<Four*>(c[r]);
    to[0] = sums[0];
    to[1] = sums[1];
  }
}

// What a lane has of A, in its place.
template <class E>
void put_a(const std::uint32_t* registers, unsigned lane, float (&a)[16][16]) {
  for (unsigned i = 0; i < 4; ++i) {
    const Pair<E> pair(registers[i]);
    float* const to = &a[lane / 4 + i % 2 * 8][2 * (lane % 4) + i / 2 * 8];
    to[0] = pair.first;
    to[1] = pair.second;
  }
}

template <class E>
void multiply(const Lanes& lanes) {
  float a[16][16] = {};
  float b[16][8] = {};
  float c[16][8];
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (lanes.arguments[lane] == nullptr) continue;  // has ended: the result is unspecified
    const Mma& mma = *static_cast<const Mma*>(lanes.arguments[lane]);
    const unsigned g = lane / 4;
    const unsigned t = lane % 4;
    put_a<E>(mma.a, lane, a);
    for (unsigned i = 0; i < 2; ++i) {
      const Pair<E> pair(mma.b[i]);
      b[2 * t + 8 * i][g] = pair.first;
      b[2 * t + 8 * i + 1][g] = pair.second;
    }
  }
  multiply_arrays(a, b, c);
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (lanes.arguments[lane] == nullptr) continue;
    const Mma& mma = *static_cast<const Mma*>(lanes.arguments[lane]);
    for (unsigned i = 0; i < 4; ++i) mma.c[i] += c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

struct LoadMatrix {
  const void* row;
  std::uint32_t* reg;  // [n]
};

template <int n, bool transposed>
void load_matrix(const Lanes& lanes) {
  std::uint16_t matrix[n][8][8];
  for (std::size_t i = 0; i < std::size_t{8} * n; ++i) {
    const auto* const from = static_cast<const LoadMatrix*>(lanes.arguments[i]);
    if (from == nullptr) {
      std::memset(matrix[i / 8][i % 8], 0xFF, 16);
    } else {
      std::memcpy(matrix[i / 8][i % 8], from->row, 16);
    }
  }
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (lanes.arguments[lane] == nullptr) continue;
    const LoadMatrix& to = *static_cast<const LoadMatrix*>(lanes.arguments[lane]);
    const unsigned g = lane / 4;
    const unsigned t = lane % 4;
    for (unsigned i = 0; i < n; ++i) {
      const std::uint32_t first = transposed ? matrix[i][2 * t][g] : matrix[i][g][2 * t];
      const std::uint32_t second = transposed ? matrix[i][2 * t + 1][g] : matrix[i][g][2 * t + 1];
      to.reg[i] = first | second << 16;
    }
  }
}

struct StoreMatrix {
  void* row;
  const std::uint32_t* reg;  // [4]
};

inline void store_matrix_transposed(const Lanes& lanes) {
  std::uint16_t matrix[4][8][8];
  std::memset(matrix, 0xFF, sizeof(matrix));
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (lanes.arguments[lane] == nullptr) continue;
    const auto& from = *static_cast<const StoreMatrix*>(lanes.arguments[lane]);
    for (unsigned i = 0; i < 4; ++i) {
      matrix[i][lane % 4 * 2][lane / 4] = static_cast<std::uint16_t>(from.reg[i] & 0xffffU);
      matrix[i][lane % 4 * 2 + 1][lane / 4] = static_cast<std::uint16_t>(from.reg[i] >> 16);
    }
  }
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    if (lanes.arguments[lane] == nullptr) continue;
    std::memcpy(static_cast<const StoreMatrix*>(lanes.arguments[lane])->row,
                matrix[lane / 8][lane % 8], 16);
  }
}

}  // namespace fvlm::emulator
