// The functions and types of CUDA C++ that kernels may use, in plain C++. See cuda_on_cpu.hpp.
#pragma once

// -- barriers, shuffles, votes ---------------------------------------------------------------------

#define SIM_LINE int line = __builtin_LINE()

static inline void __syncthreads(SIM_LINE) { sim::barrier(line, 0); }
static inline int __syncthreads_count(int vote, SIM_LINE) { return sim::barrier(line, vote); }
static inline int __syncthreads_or(int vote, SIM_LINE) { return sim::barrier(line, vote) != 0; }
static inline int __syncthreads_and(int vote, SIM_LINE) {
  return sim::barrier(line, vote) == (int)sim::block_size;
}
static inline void __syncwarp(unsigned mask = ~0u, SIM_LINE) { sim::exchange(mask, 0, -1, line); }
static inline unsigned __ballot_sync(unsigned mask, int vote, SIM_LINE) {
  return (unsigned)sim::exchange(mask, vote != 0, -1, line);
}
static inline int __any_sync(unsigned mask, int vote, SIM_LINE) {
  return sim::exchange(mask, vote != 0, -1, line) != 0;
}
static inline int __all_sync(unsigned mask, int vote, SIM_LINE) {
  return sim::exchange(mask, vote != 0, -1, line) == mask;
}
template <class V> static V __shfl_sync(unsigned mask, V v, int source, int width = 32, SIM_LINE) {
  int lane = sim::current & 31;
  return sim::swap_lanes(mask, v, (lane & -width) | (source & (width - 1)), line);
}
template <class V> static V __shfl_xor_sync(unsigned mask, V v, int bits, int width = 32, SIM_LINE) {
  int lane = sim::current & 31, source = lane ^ bits;
  return sim::swap_lanes(mask, v, source >= (lane & -width) + width ? lane : source, line);
}
template <class V> static V __shfl_down_sync(unsigned mask, V v, unsigned by, int width = 32,
                                             SIM_LINE) {
  int lane = sim::current & 31, source = lane + (int)by;
  return sim::swap_lanes(mask, v, source >= (lane & -width) + width ? lane : source, line);
}
template <class V> static V __shfl_up_sync(unsigned mask, V v, unsigned by, int width = 32,
                                           SIM_LINE) {
  int lane = sim::current & 31, source = lane - (int)by;
  return sim::swap_lanes(mask, v, source < (lane & -width) ? lane : source, line);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __trap(SIM_LINE) { sim::fail("__trap()", line); }

// -- atomics on integers ---------------------------------------------------------------------------

#define SIM_ATOMIC(name, V, expression)                                                            \
  static inline V name(V *at, V value) {                                                           \
    V old = *at;                                                                                   \
    *at = (expression);                                                                            \
    return old;                                                                                    \
  }
#define SIM_ATOMICS(V)                                                                             \
  SIM_ATOMIC(atomicAdd, V, old + value)                                                            \
  SIM_ATOMIC(atomicMin, V, value < old ? value : old)                                              \
  SIM_ATOMIC(atomicMax, V, value > old ? value : old)                                              \
  SIM_ATOMIC(atomicAnd, V, old & value)                                                            \
  SIM_ATOMIC(atomicOr, V, old | value)                                                             \
  SIM_ATOMIC(atomicXor, V, old ^ value)                                                            \
  SIM_ATOMIC(atomicExch, V, value)                                                                 \
  static inline V atomicCAS(V *at, V expected, V value) {                                          \
    V old = *at;                                                                                   \
    if (old == expected) *at = value;                                                              \
    return old;                                                                                    \
  }
SIM_ATOMICS(int)
SIM_ATOMICS(unsigned)
SIM_ATOMICS(sim_u64)
static inline int atomicSub(int *at, int value) { return atomicAdd(at, -value); }
static inline unsigned atomicSub(unsigned *at, unsigned value) { return atomicAdd(at, 0u - value); }
static inline unsigned atomicInc(unsigned *at, unsigned most) {
  unsigned old = *at;
  *at = old >= most ? 0 : old + 1;
  return old;
}
SIM_ATOMIC(atomicExch, float, value)
float atomicAdd(float *, float) = delete;  // the order of the additions would be the GPU's whim
double atomicAdd(double *, double) = delete;

// -- bits ------------------------------------------------------------------------------------------

#define SIM_BITS(name, From, To)                                                                   \
  static inline To name(From value) {                                                              \
    To bits;                                                                                       \
    __builtin_memcpy(&bits, &value, sizeof bits);                                                  \
    return bits;                                                                                   \
  }
SIM_BITS(__int_as_float, int, float)
SIM_BITS(__float_as_int, float, int)
SIM_BITS(__uint_as_float, unsigned, float)
SIM_BITS(__float_as_uint, float, unsigned)
SIM_BITS(__longlong_as_double, long long, double)
SIM_BITS(__double_as_longlong, double, long long)
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(sim_u64 v) { return __builtin_popcountll(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline int __clzll(long long v) { return v ? __builtin_clzll((sim_u64)v) : 64; }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __ffsll(long long v) { return __builtin_ffsll(v); }
static inline int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((sim_u64)a * b >> 32); }
static inline long long __mul64hi(long long a, long long b) {
  return (long long)((__int128)a * b >> 64);
}
static inline sim_u64 __umul64hi(sim_u64 a, sim_u64 b) {
  return (sim_u64)((unsigned __int128)a * b >> 64);
}
template <class V> static inline V __ldg(const V *at) { return *at; }
template <class V> static inline V __ldcs(const V *at) { return *at; }
template <class V> static inline void __stcs(V *at, V value) { *at = value; }

// -- mathematics -----------------------------------------------------------------------------------

#define SIM_MATH1(name)                                                                            \
  static inline float name##f(float a) { return __builtin_##name##f(a); }                          \
  static inline float name(float a) { return __builtin_##name##f(a); }                             \
  static inline double name(double a) { return __builtin_##name(a); }
#define SIM_MATH2(name)                                                                            \
  static inline float name##f(float a, float b) { return __builtin_##name##f(a, b); }              \
  static inline float name(float a, float b) { return __builtin_##name##f(a, b); }                 \
  static inline double name(double a, double b) { return __builtin_##name(a, b); }
namespace sim_math {  // the names are those of C functions that g++ knows: kept apart from them
SIM_MATH1(acos) SIM_MATH1(acosh) SIM_MATH1(asin) SIM_MATH1(asinh) SIM_MATH1(atan) SIM_MATH1(atanh)
SIM_MATH1(cbrt) SIM_MATH1(ceil) SIM_MATH1(cos) SIM_MATH1(cosh) SIM_MATH1(erf) SIM_MATH1(erfc)
SIM_MATH1(exp) SIM_MATH1(exp2) SIM_MATH1(exp10) SIM_MATH1(expm1) SIM_MATH1(fabs) SIM_MATH1(floor)
SIM_MATH1(lgamma) SIM_MATH1(tgamma) SIM_MATH1(log) SIM_MATH1(log10) SIM_MATH1(log1p)
SIM_MATH1(log2) SIM_MATH1(nearbyint) SIM_MATH1(rint) SIM_MATH1(round) SIM_MATH1(sin)
SIM_MATH1(sinh) SIM_MATH1(sqrt) SIM_MATH1(tan) SIM_MATH1(tanh) SIM_MATH1(trunc)
SIM_MATH2(atan2) SIM_MATH2(copysign) SIM_MATH2(fdim) SIM_MATH2(fmax) SIM_MATH2(fmin)
SIM_MATH2(fmod) SIM_MATH2(hypot) SIM_MATH2(nextafter) SIM_MATH2(pow) SIM_MATH2(remainder)
static inline float pow(float a, int b) { return __builtin_powf(a, (float)b); }
static inline double pow(double a, int b) { return __builtin_pow(a, b); }
static inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float ldexpf(float a, int b) { return __builtin_ldexpf(a, b); }
static inline double ldexp(double a, int b) { return __builtin_ldexp(a, b); }
static inline float rsqrtf(float a) { return 1.0f / __builtin_sqrtf(a); }
static inline float rsqrt(float a) { return 1.0f / __builtin_sqrtf(a); }
static inline double rsqrt(double a) { return 1.0 / __builtin_sqrt(a); }
static inline float rcbrtf(float a) { return 1.0f / __builtin_cbrtf(a); }
static inline double rcbrt(double a) { return 1.0 / __builtin_cbrt(a); }
static inline float normcdff(float a) { return 0.5f * __builtin_erfcf(-0.70710678f * a); }
static inline double normcdf(double a) { return 0.5 * __builtin_erfc(-0.7071067811865476 * a); }
static inline int abs(int a) { return a < 0 ? -a : a; }
static inline long long llabs(long long a) { return a < 0 ? -a : a; }
static inline long long abs(long long a) { return a < 0 ? -a : a; }
static inline float abs(float a) { return __builtin_fabsf(a); }
static inline double abs(double a) { return __builtin_fabs(a); }
#define SIM_TEST(name)                                                                             \
  static inline bool name(float a) { return __builtin_##name(a); }                                 \
  static inline bool name(double a) { return __builtin_##name(a); }
SIM_TEST(isnan) SIM_TEST(isinf) SIM_TEST(isfinite) SIM_TEST(signbit)
#define SIM_EXTREME(V)                                                                             \
  static inline V min(V a, V b) { return b < a ? b : a; }                                          \
  static inline V max(V a, V b) { return a < b ? b : a; }
SIM_EXTREME(int) SIM_EXTREME(unsigned) SIM_EXTREME(long) SIM_EXTREME(unsigned long)
SIM_EXTREME(long long) SIM_EXTREME(sim_u64)
static inline unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
static inline unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
static inline unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
static inline unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
static inline float min(float a, float b) { return __builtin_fminf(a, b); }
static inline float max(float a, float b) { return __builtin_fmaxf(a, b); }
static inline double min(double a, double b) { return __builtin_fmin(a, b); }
static inline double max(double a, double b) { return __builtin_fmax(a, b); }
static inline double min(float a, double b) { return __builtin_fmin(a, b); }
static inline double min(double a, float b) { return __builtin_fmin(a, b); }
static inline double max(float a, double b) { return __builtin_fmax(a, b); }
static inline double max(double a, float b) { return __builtin_fmax(a, b); }
}  // namespace sim_math
using namespace sim_math;

#define SIM_ROUNDED(kind, V, builtin)                                                              \
  static inline V __##kind##add_rn(V a, V b) { return a + b; }                                     \
  static inline V __##kind##sub_rn(V a, V b) { return a - b; }                                     \
  static inline V __##kind##mul_rn(V a, V b) { return a * b; }                                     \
  static inline V __##kind##div_rn(V a, V b) { return a / b; }                                     \
  static inline V __##kind##sqrt_rn(V a) { return __builtin_##builtin(a); }
SIM_ROUNDED(f, float, sqrtf)
SIM_ROUNDED(d, double, sqrt)
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __expf(float a) { return __builtin_expf(a); }
static inline float __logf(float a) { return __builtin_logf(a); }
static inline float __powf(float a, float b) { return __builtin_powf(a, b); }
static inline float __sinf(float a) { return __builtin_sinf(a); }
static inline float __cosf(float a) { return __builtin_cosf(a); }
static inline float __saturatef(float a) { return a > 0 ? a < 1 ? a : 1.0f : 0.0f; }
static inline int __float2int_rn(float a) { return (int)__builtin_rintf(a); }
static inline int __float2int_rz(float a) { return (int)a; }
static inline int __float2int_rd(float a) { return (int)__builtin_floorf(a); }
static inline float __int2float_rn(int a) { return (float)a; }
static inline float __uint2float_rn(unsigned a) { return (float)a; }
static inline float __double2float_rn(double a) { return (float)a; }

// -- vectors ---------------------------------------------------------------------------------------

#define SIM_VECTOR(V, name)                                                                        \
  struct alignas(2 * sizeof(V)) name##2 { V x, y; };                                               \
  struct alignas(sizeof(V) > 4 ? 16 : 4 * sizeof(V)) name##4 { V x, y, z, w; };                    \
  static inline name##2 make_##name##2(V x, V y) { return {x, y}; }                                \
  static inline name##4 make_##name##4(V x, V y, V z, V w) { return {x, y, z, w}; }
SIM_VECTOR(float, float)
SIM_VECTOR(double, double)
SIM_VECTOR(int, int)
SIM_VECTOR(unsigned, uint)
SIM_VECTOR(long long, longlong)
SIM_VECTOR(sim_u64, ulonglong)
SIM_VECTOR(unsigned char, uchar)
