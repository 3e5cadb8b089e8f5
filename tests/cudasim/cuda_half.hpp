// __half as cuda_fp16.h has it: 16 bits that round to the nearest, to even between two.
#pragma once

namespace sim {

static float wider(unsigned short bits) {
  unsigned sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
  if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
  float small = (float)fraction * 5.9604644775390625e-8f;  // 2^-24
  return sign ? -small : small;
}

// To the nearest, to even between two: from a float with its last bit set where more follows.
static unsigned short narrower(float value) {
  unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return (unsigned short)0x7fffu;  // as the GPU has NaN
  if (bits >= 0x477ff000u) return (unsigned short)(sign | 0x7c00u);
  unsigned dropped = 13;
  if (bits < 0x38800000u) {  // below 2^-14: fewer bits stay
    unsigned exponent = bits >> 23;
    if (exponent < 102) return (unsigned short)sign;
    dropped = 126 - exponent;
    bits = (bits & 0x7fffffu) | 0x800000u;
  } else {
    bits -= 112u << 23;
  }
  unsigned kept = bits >> dropped, rest = bits & ((1u << dropped) - 1), half = 1u << (dropped - 1);
  if (rest > half || (rest == half && (kept & 1))) ++kept;
  return (unsigned short)(sign | kept);
}

static unsigned short narrower(double value) {
  float near = (float)value;
  if ((double)near != value && near == near) {  // rounded to odd, so that rounding again is right
    unsigned bits = __float_as_uint(near);
    bool above = __builtin_fabs((double)near) > __builtin_fabs(value);
    if (above) --bits;
    near = __uint_as_float(bits | 1);
  }
  return narrower(near);
}

}  // namespace sim

struct __half {
  unsigned short bits;
  __half() = default;
  __half(float v) : bits(sim::narrower(v)) {}
  __half(double v) : bits(sim::narrower(v)) {}
  __half(short v) : bits(sim::narrower((double)v)) {}
  __half(unsigned short v) : bits(sim::narrower((double)v)) {}
  __half(int v) : bits(sim::narrower((double)v)) {}
  __half(unsigned v) : bits(sim::narrower((double)v)) {}
  __half(long v) : bits(sim::narrower((double)v)) {}
  __half(unsigned long v) : bits(sim::narrower((double)v)) {}
  __half(long long v) : bits(sim::narrower((double)v)) {}
  __half(unsigned long long v) : bits(sim::narrower((double)v)) {}
  operator float() const { return sim::wider(bits); }
  operator char() const { return (char)sim::wider(bits); }
  operator signed char() const { return (signed char)sim::wider(bits); }
  operator unsigned char() const { return (unsigned char)sim::wider(bits); }
  operator short() const { return (short)sim::wider(bits); }
  operator unsigned short() const { return (unsigned short)sim::wider(bits); }
  operator int() const { return (int)sim::wider(bits); }
  operator unsigned() const { return (unsigned)sim::wider(bits); }
  operator long() const { return (long)sim::wider(bits); }
  operator unsigned long() const { return (unsigned long)sim::wider(bits); }
  operator long long() const { return (long long)sim::wider(bits); }
  operator unsigned long long() const { return (unsigned long long)sim::wider(bits); }
  operator bool() const { return (bits & 0x7fff) != 0; }
};
typedef __half half;

static inline float __half2float(__half v) { return sim::wider(v.bits); }
static inline __half __float2half(float v) { return __half(v); }
static inline __half __float2half_rn(float v) { return __half(v); }
static inline __half __double2half(double v) { return __half(v); }
static inline __half __int2half_rn(int v) { return __half(v); }
static inline unsigned short __half_as_ushort(__half v) { return v.bits; }
static inline __half __ushort_as_half(unsigned short v) {
  __half h;
  h.bits = v;
  return h;
}
static inline bool __hisnan(__half v) { return (v.bits & 0x7fff) > 0x7c00; }
static inline bool __hisinf(__half v) { return (v.bits & 0x7fff) == 0x7c00; }
#define SIM_HALF(symbol, name)                                                                     \
  static inline __half operator symbol(const __half &a, const __half &b) {                         \
    return __half(sim::wider(a.bits) symbol sim::wider(b.bits));                                   \
  }                                                                                                \
  static inline __half &operator symbol##=(__half &a, const __half &b) { return a = a symbol b; }  \
  static inline __half name(__half a, __half b) { return a symbol b; }
SIM_HALF(+, __hadd)
SIM_HALF(-, __hsub)
SIM_HALF(*, __hmul)
SIM_HALF(/, __hdiv)
static inline __half operator-(const __half &a) { return __ushort_as_half(a.bits ^ 0x8000u); }
#define SIM_COMPARE(symbol)                                                                        \
  static inline bool operator symbol(const __half &a, const __half &b) {                           \
    return sim::wider(a.bits) symbol sim::wider(b.bits);                                           \
  }
SIM_COMPARE(==) SIM_COMPARE(!=) SIM_COMPARE(<) SIM_COMPARE(<=) SIM_COMPARE(>) SIM_COMPARE(>=)
