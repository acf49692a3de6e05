// Fibers: stacks of their own that one OS thread switches between without the operating system.
// Boost.Context does the switch in a few nanoseconds; here AddressSanitizer is told of it, which
// would otherwise take the change of stacks for a corrupted one. Stacks end in a guard page.
// ThreadSanitizer is not told, so programs with it must not run the emulator.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>

namespace fvlm::emulator {

class Fiber {
 public:
  using Entry = void (*)();

  // The calling thread's own stack, to switch away from and back to.
  Fiber();
  // A fiber of the calling thread; entry() begins at the first switch to it. It must never return
  // but when stopping() says so.
  explicit Fiber(Entry entry);
  // Lets entry() return. Must be called from the thread's own stack.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Suspends this fiber, which must be the one that runs, until something switches back to it.
  void switch_to(Fiber& next);
  bool stopping() const { return stopping_; }

  // The fiber that runs on the calling thread.
  static Fiber& running();

 private:
  void leave_for(Fiber& next, void** fake_stack);
  void arrive(void* fake_stack);

  boost::context::fiber handle_{};  // while suspended
  Entry entry_ = nullptr;
  bool stopping_ = false;
  const void* stack_ = nullptr;  // lowest address
  std::size_t stack_bytes_ = 0;
};

}  // namespace fvlm::emulator
