// As much of GoogleTest as the CUDA tests use, for machines that do not have it: the same sources
// run there. gtest_main.cpp runs the tests; a test's name may be given in part, to run those alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace testing {

class Message {
 public:
  template <class T>
  Message& operator<<(const T& value) {
    text_ << value;
    return *this;
  }
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
};

class Test {
 public:
  virtual ~Test() = default;
  virtual void SetUp() {}
  virtual void TearDown() {}
  virtual void TestBody() = 0;
};

struct State {
  struct Case {
    std::string name;
    std::function<void()> run;
  };
  std::vector<Case> cases;
  std::vector<std::string> traces;
  bool failed = false;   // the test that runs
  bool skipped = false;  // likewise

  static State& get() {
    static State state;
    return state;
  }
};

class Trace {
 public:
  explicit Trace(const Message& message) { State::get().traces.push_back(message.text()); }
  template <class T>
  explicit Trace(const T& value) : Trace(Message() << value) {}
  ~Trace() { State::get().traces.pop_back(); }
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;
};

// What a failed check says, when what was streamed to it is complete.
class Failure {
 public:
  Failure(const char* file, int line, std::string what)
      : file_(file), line_(line), what_(std::move(what)) {}
  void operator=(const Message& more) const {
    State& state = State::get();
    state.failed = true;
    std::printf("%s:%d: %s %s\n", file_, line_, what_.c_str(), more.text().c_str());
    for (const std::string& trace : state.traces) std::printf("  in %s\n", trace.c_str());
  }

 private:
  const char* file_;
  int line_;
  std::string what_;
};

struct Skip {
  void operator=(const Message& why) const {
    State::get().skipped = true;
    std::printf("skipped: %s\n", why.text().c_str());
  }
};

template <class T>
std::string shown(const T& value) {
  if constexpr (requires(std::ostringstream& s) { s << value; }) {
    return (Message() << value).text();
  } else if constexpr (requires { value.size(); }) {
    return (Message() << value.size() << " values").text();
  } else {
    return "a value";
  }
}

inline bool nearly_equal(float a, float b) {
  const float size = std::max(std::fabs(a), std::fabs(b));
  return a == b || std::fabs(a - b) <= 4 * std::numeric_limits<float>::epsilon() * size;
}

template <class T>
bool run_test(const std::string& name) {
  State::get().cases.push_back({name, [] {
                                  T typed;
                                  Test& test = typed;
                                  test.SetUp();
                                  if (!State::get().skipped) test.TestBody();
                                  test.TearDown();
                                }});
  return true;
}

template <class... T>
struct Types {};

// Calls f.template operator()<T>(name) for each type.
template <class Names, class... T, class F>
bool for_each_type(Types<T...>, const std::string& suite, F&& f) {
  int i = 0;
  (f.template operator()<T>(suite + "/" + Names::template GetName<T>(i++)), ...);
  return true;
}

}  // namespace testing

#define FVLM_CHECK(condition, what) \
  if (condition) {                  \
  } else                            \
    ::testing::Failure(__FILE__, __LINE__, what) = ::testing::Message()
#define FVLM_COMPARE(compare, a, b)                                                   \
  if (const auto& [fvlm_a, fvlm_b] = std::pair(a, b); compare) {                      \
  } else                                                                              \
    ::testing::Failure(__FILE__, __LINE__,                                            \
                       std::string(#a ", " #b ": ") + ::testing::shown(fvlm_a) + ", " + \
                           ::testing::shown(fvlm_b)) = ::testing::Message()

#define EXPECT_TRUE(a) FVLM_CHECK(a, #a)
#define EXPECT_FALSE(a) FVLM_CHECK(!(a), "not " #a)
#define EXPECT_EQ(a, b) FVLM_COMPARE(fvlm_a == fvlm_b, a, b)
#define EXPECT_NE(a, b) FVLM_COMPARE(fvlm_a != fvlm_b, a, b)
#define EXPECT_LT(a, b) FVLM_COMPARE(fvlm_a < fvlm_b, a, b)
#define EXPECT_GT(a, b) FVLM_COMPARE(fvlm_a > fvlm_b, a, b)
#define EXPECT_GE(a, b) FVLM_COMPARE(fvlm_a >= fvlm_b, a, b)
#define EXPECT_FLOAT_EQ(a, b) FVLM_COMPARE(::testing::nearly_equal(fvlm_a, fvlm_b), a, b)
#define ASSERT_EQ(a, b)     \
  if ((a) == (b)) {         \
  } else                    \
    return ::testing::Failure(__FILE__, __LINE__, #a ", " #b) = ::testing::Message()
#define EXPECT_THROW(statement, type)            \
  if ([&] {                                      \
        try {                                    \
          statement;                             \
        } catch (const type&) {                  \
          return true;                           \
        }                                        \
        return false;                            \
      }()) {                                     \
  } else                                         \
    ::testing::Failure(__FILE__, __LINE__, #statement " throws no " #type) = ::testing::Message()
#define GTEST_SKIP() return ::testing::Skip() = ::testing::Message()
#define FVLM_JOIN_AGAIN(a, b) a##b
#define FVLM_JOIN(a, b) FVLM_JOIN_AGAIN(a, b)
#define SCOPED_TRACE(message) const ::testing::Trace FVLM_JOIN(fvlm_trace, __LINE__)(message)

#define TYPED_TEST_SUITE(Suite, types, names) \
  using Suite##Types = types;                 \
  using Suite##Names = names
#define TYPED_TEST(Suite, Name)                                                             \
  template <class TypeParam>                                                                \
  class Suite##Name : public Suite<TypeParam> {                                             \
   public:                                                                                  \
    using TestFixture = Suite<TypeParam>;                                                   \
    void TestBody() override;                                                               \
  };                                                                                        \
  const bool Suite##Name##Added = ::testing::for_each_type<Suite##Names>(                   \
      Suite##Types(), #Suite, []<class T>(const std::string& suite) {                       \
        ::testing::run_test<Suite##Name<T>>(suite + "." #Name);                             \
      });                                                                                   \
  template <class TypeParam>                                                                \
  void Suite##Name<TypeParam>::TestBody()
