#include "kernels/cuda/host/library_gemm.hpp"

#ifdef FVLM_HAS_CUBLASLT
#include <cublasLt.h>
#include <dlfcn.h>

#include <array>
#include <utility>
#include <vector>

#include "fvlm/core/element.hpp"
#include "kernels/cuda/primitives/memory.hpp"
#include "kernels/support/make_error.hpp"

namespace fvlm {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{64} << 20;

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw make_error("{}: status {}", call, static_cast<int>(status));
  }
}

// The library's functions that are needed.
struct Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) create_operation;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) propose;
  decltype(&cublasLtMatmul) multiply;
};

bool find(void* library, const char* name, auto& function) {
  function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, Functions& f) {
  return find(library, "cublasLtCreate", f.create) && find(library, "cublasLtDestroy", f.destroy) &&
         find(library, "cublasLtMatmulDescCreate", f.create_operation) &&
         find(library, "cublasLtMatmulDescDestroy", f.destroy_operation) &&
         find(library, "cublasLtMatmulDescSetAttribute", f.set_operation) &&
         find(library, "cublasLtMatrixLayoutCreate", f.create_layout) &&
         find(library, "cublasLtMatrixLayoutDestroy", f.destroy_layout) &&
         find(library, "cublasLtMatmulPreferenceCreate", f.create_preference) &&
         find(library, "cublasLtMatmulPreferenceDestroy", f.destroy_preference) &&
         find(library, "cublasLtMatmulPreferenceSetAttribute", f.set_preference) &&
         find(library, "cublasLtMatmulAlgoGetHeuristic", f.propose) &&
         find(library, "cublasLtMatmul", f.multiply);
}

// What each plan shares with the others.
struct Session {
  Functions functions;
  cublasLtHandle_t handle = nullptr;
  DeviceBuffer<Target::kDevice> workspace;

  explicit Session(const Functions& found) : functions(found), workspace(kWorkspaceBytes) {
    check(functions.create(&handle), "cublasLtCreate");
  }
  ~Session() { functions.destroy(handle); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
};

// The library's matrices are column-major: ours are their transposes. So it computes
// C^T [n, m] = (B^T)^T A^T.
class CublasPlan final : public LibraryGemm::Plan {
 public:
  CublasPlan(std::shared_ptr<const Session> session, const LibraryGemm::Shape& shape, int most)
      : session_(std::move(session)) {
    const Functions& f = session_->functions;
    const cudaDataType_t in = shape.is_float ? CUDA_R_32F : CUDA_R_16BF;
    const cudaDataType_t out = shape.has_float_result ? CUDA_R_32F : in;
    check(f.create_operation(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check(f.set_operation(operation_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
          "cublasLtMatmulDescSetAttribute");
    const auto layout = [&](cublasLtMatrixLayout_t& to, cudaDataType_t type, std::int64_t rows,
                            std::int64_t cols) {
      check(f.create_layout(&to, type, static_cast<std::uint64_t>(rows),
                            static_cast<std::uint64_t>(cols), rows),
            "cublasLtMatrixLayoutCreate");
    };
    layout(b_, in, shape.k, shape.n);
    layout(a_, in, shape.k, shape.m);
    layout(c_, out, shape.n, shape.m);
    cublasLtMatmulPreference_t preference = nullptr;
    check(f.create_preference(&preference), "cublasLtMatmulPreferenceCreate");
    const std::size_t workspace = kWorkspaceBytes;
    f.set_preference(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                     sizeof(workspace));
    proposed_.resize(static_cast<std::size_t>(most));
    int found = 0;
    const cublasStatus_t status = f.propose(session_->handle, operation_, b_, a_, c_, c_,
                                            preference, most, proposed_.data(), &found);
    f.destroy_preference(preference);
    proposed_.resize(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(found) : 0);
  }
  ~CublasPlan() override {
    const Functions& f = session_->functions;
    for (const cublasLtMatrixLayout_t layout : {a_, b_, c_}) f.destroy_layout(layout);
    f.destroy_operation(operation_);
  }
  CublasPlan(const CublasPlan&) = delete;
  CublasPlan& operator=(const CublasPlan&) = delete;

  int algorithms() const override { return static_cast<int>(proposed_.size()); }
  void run(int algorithm, Stream<Target::kDevice>& stream, const void* a, const void* b,
           void* c) const override {
    const float one = 1;
    const float zero = 0;
    check(session_->functions.multiply(
              session_->handle, operation_, &one, b, b_, a, a_, &zero, c, c_, c, c_,
              &proposed_[static_cast<std::size_t>(algorithm)].algo,
              session_->workspace.as<std::byte>(), kWorkspaceBytes, stream.handle()),
          "cublasLtMatmul");
  }

 private:
  std::shared_ptr<const Session> session_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t a_ = nullptr;
  cublasLtMatrixLayout_t b_ = nullptr;
  cublasLtMatrixLayout_t c_ = nullptr;
  std::vector<cublasLtMatmulHeuristicResult_t> proposed_;
};

class Cublas final : public LibraryGemm {
 public:
  explicit Cublas(const Functions& functions) : session_(std::make_shared<Session>(functions)) {}

  std::unique_ptr<Plan> plan(const Shape& shape, int most) const override {
    return std::make_unique<CublasPlan>(session_, shape, most);
  }

 private:
  std::shared_ptr<const Session> session_;
};

}  // namespace

// The library stays loaded until the program ends.
std::unique_ptr<LibraryGemm> LibraryGemm::load(std::string& reason) {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  for (const std::string& path : {name, "/usr/local/cuda/lib64/" + name}) {
    void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) continue;
    Functions functions{};
    if (find_all(library, functions)) return std::make_unique<Cublas>(functions);
    reason = path + " lacks a function";
    return nullptr;
  }
  reason = name + " is not installed, or in no folder of LD_LIBRARY_PATH";
  return nullptr;
}

}  // namespace fvlm
#else
namespace fvlm {

std::unique_ptr<LibraryGemm> LibraryGemm::load(std::string& reason) {
  reason = "this program was built without cuBLASLt's header";
  return nullptr;
}

}  // namespace fvlm
#endif
