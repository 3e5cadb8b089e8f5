// Stacks that a thread leaves and comes back to: what depends on the processor.
#pragma once

namespace sim {

const unsigned STACK = 256 << 10;  // bytes of one

#if defined(__x86_64__)
// Saves what a call must preserve on the stack and goes on with another stack.
extern "C" __attribute__((visibility("hidden"))) void sim_switch(void **from, void *to);
asm(R"(
.text
.globl sim_switch
.hidden sim_switch
.type sim_switch,@function
sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size sim_switch,.-sim_switch
)");

static void *fresh(char *stack, void (*entry)()) {
  void **top = (void **)(stack + STACK - 64);
  *--top = nullptr;  // where entry() would return to
  *--top = (void *)entry;
  for (int saved = 0; saved < 6; saved++) *--top = nullptr;
  return top;
}
#elif defined(__aarch64__)
extern "C" __attribute__((visibility("hidden"))) void sim_switch(void **from, void *to);
asm(R"(
.text
.globl sim_switch
.hidden sim_switch
.type sim_switch,%function
sim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size sim_switch,.-sim_switch
)");

static void *fresh(char *stack, void (*entry)()) {
  void **top = (void **)(stack + STACK - 64) - 20;
  for (int saved = 0; saved < 20; saved++) top[saved] = nullptr;
  top[11] = (void *)entry;  // x30
  return top;
}
#else
#error "the simulator switches stacks on x86-64 and AArch64 only"
#endif

}  // namespace sim
