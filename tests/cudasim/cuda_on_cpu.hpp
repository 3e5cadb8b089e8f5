// CUDA C++ for one CPU thread: what a kernel may use, and a scheduler that runs its threads.
//
// A kernel's threads run one after the other until one waits (at a barrier, in a shuffle): then the
// next goes on, on a stack of its own. So a kernel without barriers costs a plain call per thread.
// Found out on the way and reported: a barrier or shuffle that some threads never reach, or that
// they reach at different lines; lanes named in a mask that aren't there. Shared memory holds NaN
// when a block starts. Floating-point atomics are missing on purpose: their sums have no order.
// No header is included: that would take longer than everything else.
#pragma once

#define CUDASIM 1
#define __CUDA_ARCH__ 750
#define __global__ static
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#ifdef __SANITIZE_ADDRESS__
#define __shared__ static  // ASan guards the ends of variables in no section of their own
#else
#define __shared__ static __attribute__((section("sim_shared")))
#endif

typedef unsigned long long sim_u64;
typedef __SIZE_TYPE__ size_t;

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

// -- threads ---------------------------------------------------------------------------------------

extern "C" void *malloc(size_t);
extern "C" void free(void *);
extern "C" int snprintf(char *, size_t, const char *, ...);
extern "C" char __start_sim_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_sim_shared[] __attribute__((weak, visibility("hidden")));
#ifdef __SANITIZE_ADDRESS__
extern "C" void __asan_unpoison_memory_region(void const volatile *, size_t);
#endif

namespace sim {

const unsigned MOST = 1024, GUARD = 64;

struct Thread {
  void *stack;        // where it went to sleep
  unsigned waits;     // 0: runs, 1: at the block's barrier, 2: in a warp's exchange
  unsigned mask;      // of the exchange
  int line, source;   // where it waits; the lane it wants, -1: everybody's vote
  bool gone;          // has ended
  sim_u64 value, result;
  uint3 index;
};

static Thread threads[MOST];
static void *stacks[MOST];   // of stacks: where an idle one goes on
static unsigned idle[MOST], idle_count, stack_count;
static unsigned ready[MOST], ready_first, ready_count;
static unsigned block_size, started, ended, arrived, current;
static sim_u64 blocks_left;
static uint3 next_block;
static bool backwards, failed;
static char message[512];
static char *memory, *dynamic_shared;
static unsigned dynamic_size;
static void *home;
static void (*body)(void **);
static void **body_args;

static void fill(char *at, const char *end) { while (at < end) *at++ = (char)0xff; }

// The index of the next block in turn.
static void begin_block() {
  blockIdx = next_block;
  if (backwards)
    blockIdx = {gridDim.x - 1 - next_block.x, gridDim.y - 1 - next_block.y,
                gridDim.z - 1 - next_block.z};
  if (++next_block.x == gridDim.x) {
    next_block.x = 0;
    if (++next_block.y == gridDim.y) {
      next_block.y = 0;
      ++next_block.z;
    }
  }
  --blocks_left;
  started = ended = arrived = 0;
#ifndef __SANITIZE_ADDRESS__
  if (__start_sim_shared) fill(__start_sim_shared, __stop_sim_shared);
#endif
  fill(dynamic_shared, dynamic_shared + dynamic_size);
}

static void enter(unsigned thread) {
  current = thread;
  threadIdx = threads[thread].index;
}

static void push_ready(unsigned thread) {
  threads[thread].waits = 0;
  ready[(ready_first + ready_count++) % MOST] = thread;
}

static void work();

// Goes on with another thread, or home when there is none. `save`: where this one's stack is kept.
static void leave(void **save) {
  if (!failed && ready_count) {
    unsigned thread = ready[ready_first];
    ready_first = (ready_first + 1) % MOST;
    --ready_count;
    enter(thread);
    sim_switch(save, threads[thread].stack);
    return;
  }
  if (!failed && started < block_size) {
    if (!idle_count) {
      stacks[stack_count] = fresh(memory + (size_t)stack_count * STACK, work);
      idle[idle_count++] = stack_count++;
    }
    unsigned stack = idle[--idle_count];
    sim_switch(save, stacks[stack]);
    return;
  }
  if (!failed && (ended < block_size || blocks_left)) {
    failed = true;
    unsigned waiting = 0, other = 0;
    for (unsigned t = 0; t < block_size; t++)
      if (!threads[t].gone) {
        if (!waiting++) other = t;
      }
    const Thread &one = threads[other];
    snprintf(message, sizeof message,
             "%u of %u threads of block (%u, %u, %u) wait for ever; thread %u at line %d, %s; "
             "%u threads have left the kernel",
             waiting, block_size, blockIdx.x, blockIdx.y, blockIdx.z, other, one.line,
             one.waits == 1 ? "at a barrier of the block" : "in an exchange of its warp", ended);
    for (unsigned t = 0; t < block_size; t++)
      if (!threads[t].gone && threads[t].line != one.line) {
        size_t used = 0;
        while (message[used]) used++;
        snprintf(message + used, sizeof message - used, "; thread %u at line %d", t,
                 threads[t].line);
        break;
      }
  }
  sim_switch(save, home);
}

// What every stack runs: thread after thread, block after block.
static void work() {
  unsigned mine = idle[idle_count];  // what leave() has just taken
  for (;;) {
    while (started < block_size) {
      unsigned thread = backwards ? block_size - 1 - started : started;
      ++started;
      threads[thread].gone = false;
      threads[thread].line = 0;
      enter(thread);
      body(body_args);
      threads[current].gone = true;
      if (++ended == block_size && blocks_left) begin_block();
    }
    idle[idle_count++] = mine;
    leave(&stacks[mine]);
  }
}

static void fail(const char *what, int line) {
  if (!failed) snprintf(message, sizeof message, "line %d: %s", line, what);
  failed = true;
  leave(&threads[current].stack);
}

static void wait() { leave(&threads[current].stack); }

// Until every thread of the block is here; the number of those that voted.
static int barrier(int line, int vote) {
  Thread &me = threads[current];
  me.waits = 1;
  me.line = line;
  me.value = vote != 0;
  ++arrived;
  if (arrived == block_size) {
    int count = 0;
    for (unsigned t = 0; t < block_size; t++) {
      if (threads[t].line != line) {
        char text[120];
        snprintf(text, sizeof text,
                 "threads of one block wait at different barriers: thread %u at line %d, thread %u",
                 t, threads[t].line, current);
        fail(text, line);
      }
      count += (int)threads[t].value;
    }
    arrived = 0;
    for (unsigned k = 0; k < block_size; k++) {
      unsigned t = backwards ? block_size - 1 - k : k;
      threads[t].result = (sim_u64)count;
      if (t != current) push_ready(t);
    }
    me.waits = 0;
  } else {
    wait();
  }
  return (int)me.result;
}

// A lane's value given away and another's received. `source` -1: the votes of all lanes as bits.
static sim_u64 exchange(unsigned mask, sim_u64 value, int source, int line) {
  Thread &me = threads[current];
  unsigned first = current & ~31u, lanes = 0;
  if (!(mask >> (current & 31) & 1)) fail("a lane that its own mask leaves out", line);
  me.waits = 2;
  me.mask = mask;
  me.line = line;
  me.source = source;
  me.value = value;
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(mask >> lane & 1)) continue;
    unsigned t = first + lane;
    if (t >= block_size) fail("the mask names lanes that the block doesn't have", line);
    const Thread &other = threads[t];
    if (other.waits == 2 && other.mask == mask && other.line == line) lanes |= 1u << lane;
  }
  if (lanes != mask) {
    wait();
    return me.result;
  }
  sim_u64 bits = 0;
  for (unsigned lane = 0; lane < 32; lane++)
    if (mask >> lane & 1) bits |= (sim_u64)(threads[first + lane].value != 0) << lane;
  for (unsigned lane = 0; lane < 32; lane++) {
    if (!(mask >> lane & 1)) continue;
    Thread &other = threads[first + lane];
    if (other.source < 0)
      other.result = bits;
    else
      other.result = mask >> other.source & 1 ? threads[first + other.source].value : ~(sim_u64)0;
  }
  for (unsigned k = 0; k < 32; k++) {
    unsigned lane = backwards ? 31 - k : k;
    if ((mask >> lane & 1) && first + lane != current) push_ready(first + lane);
  }
  me.waits = 0;
  return me.result;
}

template <class V> static V swap_lanes(unsigned mask, V value, int source, int line) {
  static_assert(sizeof(V) <= 8, "a shuffle moves 8 bytes at most");
  sim_u64 bits = 0;
  __builtin_memcpy(&bits, &value, sizeof(V));
  bits = exchange(mask, bits, source, line);
  __builtin_memcpy(&value, &bits, sizeof(V));
  return value;
}

static const char *run(const unsigned *grid, const unsigned *block, unsigned shared, int order,
                       char *stack_memory, void (*kernel)(void **), void **args) {
  gridDim = {grid[0], grid[1], grid[2]};
  blockDim = {block[0], block[1], block[2]};
  block_size = block[0] * block[1] * block[2];
  blocks_left = (sim_u64)grid[0] * grid[1] * grid[2];
  next_block = {0, 0, 0};
  backwards = order & 1;
  failed = false;
  message[0] = 0;
  body = kernel;
  body_args = args;
  memory = stack_memory;
  idle_count = stack_count = ready_first = ready_count = 0;
  for (unsigned t = 0; t < block_size; t++) {
    threads[t].index = {t % block[0], t / block[0] % block[1], t / (block[0] * block[1])};
    threads[t].waits = 0;
  }
  dynamic_size = shared;
  dynamic_shared = (char *)malloc(shared + GUARD);
#ifndef __SANITIZE_ADDRESS__
  fill(dynamic_shared + shared, dynamic_shared + shared + GUARD);
#endif
  begin_block();
  leave(&home);
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(memory, (size_t)stack_count * STACK);
#else
  for (unsigned i = 0; i < GUARD; i++)
    if (dynamic_shared[shared + i] != (char)0xff && !failed) {
      failed = true;
      snprintf(message, sizeof message, "written beyond the %u bytes of dynamic shared memory",
               shared);
    }
#endif
  free(dynamic_shared);
  return failed ? message : nullptr;
}

}  // namespace sim
