#include "kernels/emulator/fiber.hpp"

#include <boost/context/protected_fixedsize_stack.hpp>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fvlm::emulator {
namespace {

namespace context = boost::context;

// A kernel's frames are small; a thrown error's path through the unwinder and the sanitizers is
// not. Only pages that are touched take memory.
constexpr std::size_t kStackBytes = std::size_t{128} << 10;

constinit thread_local Fiber* running_fiber = nullptr;
constinit thread_local Fiber* previous_fiber = nullptr;  // who switched to the running one

}  // namespace

Fiber& Fiber::running() {
  return *running_fiber;
}

Fiber::Fiber() {
  running_fiber = this;
}

Fiber::Fiber(Entry entry) : entry_(entry) {
  context::protected_fixedsize_stack allocator(kStackBytes);
  const context::stack_context stack = allocator.allocate();
  stack_bytes_ = stack.size;
  stack_ = static_cast<const char*>(stack.sp) - stack.size;
  handle_ = context::fiber(std::allocator_arg, context::preallocated(stack.sp, stack.size, stack),
                           allocator, [this](context::fiber&& from) {
                             previous_fiber->handle_ = std::move(from);
                             arrive(nullptr);
                             entry_();
                             Fiber& back = *previous_fiber;
                             leave_for(back, nullptr);
                             return std::move(back.handle_);
                           });
}

Fiber::~Fiber() {
  if (entry_ == nullptr) return;
  stopping_ = true;
  running().switch_to(*this);
#if defined(__SANITIZE_ADDRESS__)
  // The last frame never returns, and what it has marked would outlive the stack.
  __asan_unpoison_memory_region(stack_, stack_bytes_);
#endif
}

void Fiber::switch_to(Fiber& next) {
  void* fake_stack = nullptr;
  leave_for(next, &fake_stack);
  context::fiber from = std::move(next.handle_).resume();
  // Somebody has switched back; a fiber that has ended leaves nothing to resume.
  previous_fiber->handle_ = std::move(from);
  arrive(fake_stack);
}

// Before the switch. Without a fake stack to keep, this fiber ends.
void Fiber::leave_for(Fiber& next, [[maybe_unused]] void** fake_stack) {
  previous_fiber = this;
  running_fiber = &next;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake_stack, next.stack_, next.stack_bytes_);
#endif
}

// After the switch, on this fiber's stack. ASan tells the bounds of the stack that was left, which
// is how those of the thread's own become known.
void Fiber::arrive([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, &previous_fiber->stack_,
                                  &previous_fiber->stack_bytes_);
#endif
}

}  // namespace fvlm::emulator
