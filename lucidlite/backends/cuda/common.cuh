// What every kernel family shares. Compiled by NVRTC for a GPU and, in the tests, by g++ for a CPU.
//
// T  the type arrays are stored in        W  the type sums and products are computed in
// I  the type of indices, 64 bits where an array has 2^30 elements or more
// FOR(i, n)  loops over i < n, whatever the grid

#if defined(FLOAT16)
#ifndef CUDASIM
#include <cuda_fp16.h>
#endif
typedef __half T;
typedef float W;
#elif defined(FLOAT64)
typedef double T;
typedef double W;
#else
typedef float T;
typedef float W;
#endif

#ifdef LARGE
typedef long long I;
#else
typedef int I;
#endif

#define FOR(i, n)                                                              \
  for (I i = (I)blockIdx.x * (I)blockDim.x + (I)threadIdx.x; i < (n);          \
       i += (I)gridDim.x * (I)blockDim.x)

// VEC neighbouring elements, which a thread loads or stores at once where they are aligned.
#ifndef VEC
#define VEC 1
#endif
struct alignas(sizeof(T) * VEC) Pack {
  T v[VEC];
};

#define NAN_W ((W)__int_as_float(0x7fffffff))
#define INFINITY_W ((W)__int_as_float(0x7f800000))

// The sum over a block's threads, in every thread. blockDim.x is a multiple of 32; `shared` has
// room for 32 values and is free again when the function returns.
__device__ __forceinline__ W block_sum(W value, W *shared) {
  for (int lane = 16; lane; lane >>= 1) value += __shfl_xor_sync(0xffffffffu, value, lane);
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = value;
  __syncthreads();
  value = (threadIdx.x & 31) < (blockDim.x >> 5) ? shared[threadIdx.x & 31] : (W)0;
  for (int lane = 16; lane; lane >>= 1) value += __shfl_xor_sync(0xffffffffu, value, lane);
  __syncthreads();
  return value;
}

// The largest value over a block's threads, in every thread; NaN where one is NaN.
__device__ __forceinline__ W larger(W a, W b) { return a > b || a != a ? a : b; }

__device__ __forceinline__ W block_max(W value, W *shared) {
  for (int lane = 16; lane; lane >>= 1) {
    W other = __shfl_xor_sync(0xffffffffu, value, lane);
    value = larger(value, other);
  }
  if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = value;
  __syncthreads();
  value = (threadIdx.x & 31) < (blockDim.x >> 5) ? shared[threadIdx.x & 31] : -INFINITY_W;
  for (int lane = 16; lane; lane >>= 1) {
    W other = __shfl_xor_sync(0xffffffffu, value, lane);
    value = larger(value, other);
  }
  __syncthreads();
  return value;
}

// Notes that something is wrong (see alarms.py): the first alarm since the host looked stays.
__device__ __forceinline__ void raise_alarm(unsigned long long *alarm, int number,
                                            long long value) {
  if (atomicCAS(alarm, 0ull, (unsigned long long)number) == 0ull)
    alarm[1] = (unsigned long long)value;
}
