// Dropout. The draws are Philox4x64-10's (Salmon et al., 2011), the same as the host's generator
// gives: element i in row-major order of the logical shape takes draw i, whatever the memory order.
//
// A draw's place is a key of two words and a counter of four. `held`, where it is given, has them
// in device memory (a captured graph draws anew in every launch), and `counter0` is added to that.

typedef unsigned long long Draw;

struct Draws {
  Draw word[4];
};

// The four draws of one block, counted from the one after the counter.
__device__ __forceinline__ Draws philox(Draw block, Draw key0, Draw key1, Draw c0, Draw c1, Draw c2,
                                        Draw c3) {
  Draw start = c0;
  c0 += block + 1;
  if (c0 < start && ++c1 == 0 && ++c2 == 0) ++c3;
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    Draw high0 = __umul64hi(0xD2E7470EE14C6C93ull, c0), low0 = 0xD2E7470EE14C6C93ull * c0;
    Draw high1 = __umul64hi(0xCA5A826395121157ull, c2), low1 = 0xCA5A826395121157ull * c2;
    c0 = high1 ^ c1 ^ key0;
    c2 = high0 ^ c3 ^ key1;
    c1 = low1;
    c3 = low0;
    key0 += 0x9E3779B97F4A7C15ull;
    key1 += 0xBB67AE8584CAA73Bull;
  }
  return {{c0, c1, c2, c3}};
}

__device__ __forceinline__ T kept(T value, Draw draw, int least, W scale) {
  return (T)((W)value * ((int)(draw >> 40) >= least ? scale : (W)0));
}

#define HELD                                                                   \
  if (held) {                                                                  \
    key0 = held[0];                                                            \
    key1 = held[1];                                                            \
    counter0 += held[2];                                                       \
    counter1 = held[3];                                                        \
    counter2 = held[4];                                                        \
    counter3 = held[5];                                                        \
  }

// Memory is (images, plane, channels), a logical image (channels, plane); an array in row-major
// order is one image of one channel. A thread takes the four elements of a block of draws, which
// are in one plane: `plane` is a multiple of 4, or there is one plane only. Neighbours in a warp
// take neighbouring channels. An element is kept where its draw's upper 24 bits reach `least`.
extern "C" __global__ void drop_blocks(const T *__restrict__ x, T *__restrict__ out, I count,
                                       I plane, int channels,
                                       const unsigned long long *__restrict__ held,
                                       unsigned long long key0, unsigned long long key1,
                                       unsigned long long counter0, unsigned long long counter1,
                                       unsigned long long counter2, unsigned long long counter3,
                                       int least, W scale) {
  HELD
  I blocks = (plane + 3) / 4;
  FOR(i, count) {
    I channel = i % channels, rest = i / channels, image = rest / blocks;
    I first = rest % blocks * 4;
    Draw block = (Draw)(image * channels + channel) * (Draw)blocks + (Draw)(first / 4);
    Draws draws = philox(block, key0, key1, counter0, counter1, counter2, counter3);
    I at = (image * plane + first) * channels + channel;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (first + k < plane) out[at] = kept(x[at], draws.word[k], least, scale);
      at += channels;
    }
  }
}

// The same where blocks of draws go across planes: a thread takes one element.
extern "C" __global__ void drop_each(const T *__restrict__ x, T *__restrict__ out, I count, I plane,
                                     int channels, const unsigned long long *__restrict__ held,
                                     unsigned long long key0, unsigned long long key1,
                                     unsigned long long counter0, unsigned long long counter1,
                                     unsigned long long counter2, unsigned long long counter3,
                                     int least, W scale) {
  HELD
  FOR(i, count) {
    I channel = i % channels, rest = i / channels;
    Draw number = (Draw)(rest / plane * channels + channel) * (Draw)plane + (Draw)(rest % plane);
    Draws draws = philox(number >> 2, key0, key1, counter0, counter1, counter2, counter3);
    int word = (int)(number & 3);  // chosen without an array in local memory
    Draw low = word & 1 ? draws.word[1] : draws.word[0];
    Draw high = word & 1 ? draws.word[3] : draws.word[2];
    out[i] = kept(x[i], word & 2 ? high : low, least, scale);
  }
}

// Numbers in [0, 1): a draw's upper 64 - `shift` bits times `unit`. A thread takes four.
extern "C" __global__ void uniform(T *__restrict__ out, I blocks, I count,
                                   const unsigned long long *__restrict__ held,
                                   unsigned long long key0, unsigned long long key1,
                                   unsigned long long counter0, unsigned long long counter1,
                                   unsigned long long counter2, unsigned long long counter3,
                                   int shift, W unit) {
  HELD
  FOR(i, blocks) {
    Draws draws = philox((Draw)i, key0, key1, counter0, counter1, counter2, counter3);
    I at = i * 4;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (at + k < count) out[at + k] = (T)((W)(draws.word[k] >> shift) * unit);
    }
  }
}

// A generator's place into device memory, without a copy from the host.
extern "C" __global__ void put_words(unsigned long long *__restrict__ to, unsigned long long key0,
                                     unsigned long long key1, unsigned long long counter0,
                                     unsigned long long counter1, unsigned long long counter2,
                                     unsigned long long counter3) {
  if (blockIdx.x || threadIdx.x) return;
  to[0] = key0;
  to[1] = key1;
  to[2] = counter0;
  to[3] = counter1;
  to[4] = counter2;
  to[5] = counter3;
}
