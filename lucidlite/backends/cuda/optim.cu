// Optimizer steps and gradient clipping: every parameter of a group in one launch.
//
// A table in device memory has a row of 64-bit words for each parameter: the number of its first
// chunk, its size, then addresses. A block takes whole chunks, and finds the rows they are in.
// `held`, where it is given, has the step's numbers in device memory: a captured graph reads them
// there, so that they can change between its launches.

#define CHUNK 4096
#define AT_ONCE 4  // loads in flight for each thread

typedef long long Word;

// The row that chunk number `chunk` is in: the last that starts at it or before.
__device__ __forceinline__ const Word *row_of(const Word *table, int rows, int words, Word chunk) {
  int low = 0, high = rows - 1;
  while (low < high) {
    int middle = (low + high + 1) >> 1;
    if (table[(Word)middle * words] <= chunk) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return table + (Word)low * words;
}

__device__ __forceinline__ Word end_of(const Word *row, Word start) {
  return start + CHUNK < row[1] ? start + CHUNK : row[1];
}

// Row: first chunk, size, parameter, gradient, momentum buffer or 0, whether that is still empty.
// Numbers: lr, momentum, 1 - dampening, weight decay.
extern "C" __global__ void sgd_steps(const long long *__restrict__ table, int rows,
                                     const double *__restrict__ held, int nesterov, int maximize,
                                     W lr, W momentum, W share, W decay) {
  if (held) {
    lr = (W)held[0];
    momentum = (W)held[1];
    share = (W)held[2];
    decay = (W)held[3];
  }
  const Word *row = row_of(table, rows, 6, blockIdx.x);
  T *param = (T *)row[2];
  const T *grad = (const T *)row[3];
  T *buffer = (T *)row[4];
  bool first = row[5] != 0;
  Word start = (blockIdx.x - row[0]) * CHUNK, end = end_of(row, start);
  for (Word base = start + threadIdx.x; base < end; base += AT_ONCE * (Word)blockDim.x) {
    W p[AT_ONCE], g[AT_ONCE], b[AT_ONCE];
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
      Word i = base + u * (Word)blockDim.x;
      if (i >= end) break;
      p[u] = (W)param[i];
      g[u] = (W)grad[i];
      b[u] = buffer && !first ? (W)buffer[i] : (W)0;
    }
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
      Word i = base + u * (Word)blockDim.x;
      if (i >= end) break;
      W step = maximize ? -g[u] : g[u];
      if (decay != (W)0) step = p[u] * decay + step;
      if (buffer) {
        W mean = first ? step : b[u] * momentum + step * share;
        buffer[i] = (T)mean;
        step = nesterov ? mean * momentum + step : mean;
      }
      param[i] = (T)(p[u] - step * lr);
    }
  }
}

// Row: first chunk, size, parameter, gradient, both averages, the largest square or 0.
// Numbers: what p is multiplied by (decoupled) or weight decay, beta1, 1 - beta1, beta2, 1 - beta2,
// sqrt(1 - beta2^t), eps, lr / (1 - beta1^t).
extern "C" __global__ void adam_steps(const long long *__restrict__ table, int rows,
                                      const double *__restrict__ held, int decoupled, int maximize,
                                      W shrink, W keep1, W rest1, W keep2, W rest2, W correction,
                                      W eps, W rate) {
  if (held) {
    shrink = (W)held[0];
    keep1 = (W)held[1];
    rest1 = (W)held[2];
    keep2 = (W)held[3];
    rest2 = (W)held[4];
    correction = (W)held[5];
    eps = (W)held[6];
    rate = (W)held[7];
  }
  const Word *row = row_of(table, rows, 7, blockIdx.x);
  T *param = (T *)row[2];
  const T *grad = (const T *)row[3];
  T *means = (T *)row[4], *squares = (T *)row[5], *largest = (T *)row[6];
  Word start = (blockIdx.x - row[0]) * CHUNK, end = end_of(row, start);
  for (Word base = start + threadIdx.x; base < end; base += AT_ONCE * (Word)blockDim.x) {
    W p[AT_ONCE], g[AT_ONCE], m[AT_ONCE], s[AT_ONCE];
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
      Word i = base + u * (Word)blockDim.x;
      if (i >= end) break;
      p[u] = (W)param[i];
      g[u] = (W)grad[i];
      m[u] = (W)means[i];
      s[u] = (W)squares[i];
    }
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
      Word i = base + u * (Word)blockDim.x;
      if (i >= end) break;
      W value = p[u], step = maximize ? -g[u] : g[u];
      if (decoupled) {
        value = value * shrink;
      } else if (shrink != (W)0) {
        step = value * shrink + step;
      }
      // From the end that is nearer.
      W mean = keep1 > (W)0.5 ? m[u] + (step - m[u]) * rest1 : step + (m[u] - step) * keep1;
      W square = s[u] * keep2 + step * rest2 * step;
      means[i] = (T)mean;
      squares[i] = (T)square;
      if (largest) {
        square = larger((W)largest[i], square);
        largest[i] = (T)square;
      }
      param[i] = (T)(value - mean * rate / (sqrt(square) / correction + eps));
    }
  }
}

// What one value adds to a norm, and two such sums together. kind: 1, 2, or 0 for the largest.
__device__ __forceinline__ W norm_term(W value, int kind) {
  return kind == 2 ? value * value : value < (W)0 ? -value : value;
}

__device__ __forceinline__ W block_norm(W value, int kind, W *shared) {
  return kind ? block_sum(value, shared) : block_max(value, shared);
}

// Each block's part of the norm of all rows. Row: first chunk, size, gradient.
extern "C" __global__ void norm_parts(const long long *__restrict__ table, int rows,
                                      long long chunks, int kind, W *__restrict__ parts) {
  __shared__ W shared[32];
  W total = (W)0;
  for (Word chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const Word *row = row_of(table, rows, 3, chunk);
    const T *grad = (const T *)row[2];
    Word start = (chunk - row[0]) * CHUNK, end = end_of(row, start);
    for (Word base = start + threadIdx.x; base < end; base += AT_ONCE * (Word)blockDim.x) {
#pragma unroll
      for (int u = 0; u < AT_ONCE; ++u) {
        Word i = base + u * (Word)blockDim.x;
        if (i >= end) break;
        W term = norm_term((W)grad[i], kind);
        total = kind ? total + term : larger(total, term);
      }
    }
  }
  total = block_norm(total, kind, shared);
  if (threadIdx.x == 0) parts[blockIdx.x] = total;
}

// The norm from its parts, in every thread.
__device__ __forceinline__ W whole_norm(const W *parts, int count, int kind, W *shared) {
  W total = (W)0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    total = kind ? total + parts[i] : larger(total, parts[i]);
  }
  total = block_norm(total, kind, shared);
  return (W)(T)(kind == 2 ? sqrt(total) : total);
}

extern "C" __global__ void norm_whole(const W *__restrict__ parts, int count, int kind,
                                      T *__restrict__ norm) {
  __shared__ W shared[32];
  W total = whole_norm(parts, count, kind, shared);
  if (threadIdx.x == 0) *norm = (T)total;
}

// Every gradient times most / (norm + 1e-6), or 1 where that is less. The norm is `norm` where
// there are no parts, else it is put together from them and written there.
extern "C" __global__ void clip_norm(const long long *__restrict__ table, int rows,
                                     long long chunks, const W *__restrict__ parts, int count,
                                     int kind, W most, T *norm) {
  __shared__ W shared[32];
  W total = count ? whole_norm(parts, count, kind, shared) : (W)*norm;
  if (count && blockIdx.x == 0 && threadIdx.x == 0) *norm = (T)total;
  W factor = (W)(T)(most / (W)(T)(total + (W)1e-6));
  if (factor > (W)1) factor = (W)1;  // NaN stays
  for (Word chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
    const Word *row = row_of(table, rows, 3, chunk);
    T *grad = (T *)row[2];
    Word start = (chunk - row[0]) * CHUNK, end = end_of(row, start);
    for (Word i = start + threadIdx.x; i < end; i += blockDim.x) {
      grad[i] = (T)((W)grad[i] * factor);
    }
  }
}

// Every gradient held between -most and most; NaN stays.
extern "C" __global__ void clip_values(const long long *__restrict__ table, int rows, W most) {
  const Word *row = row_of(table, rows, 3, blockIdx.x);
  T *grad = (T *)row[2];
  Word start = (blockIdx.x - row[0]) * CHUNK, end = end_of(row, start);
  for (Word i = start + threadIdx.x; i < end; i += blockDim.x) {
    W value = (W)grad[i];
    if (value > most) {
      grad[i] = (T)most;
    } else if (value < -most) {
      grad[i] = (T)-most;
    }
  }
}

// Numbers into device memory, without a copy from the host: before a graph that reads them there.
extern "C" __global__ void put_numbers(double *__restrict__ to, double a, double b, double c,
                                       double d, double e, double f, double g, double h) {
  if (blockIdx.x || threadIdx.x) return;
  to[0] = a;
  to[1] = b;
  to[2] = c;
  to[3] = d;
  to[4] = e;
  to[5] = f;
  to[6] = g;
  to[7] = h;
}
