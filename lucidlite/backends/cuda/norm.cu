// Batch normalization of (rows, channels) arrays: an image's pixels are rows.
//
// Statistics are taken in two stages, with sums in an order that only the shape decides: blocks
// over `chunk` rows each, then all blocks of a channel. In a block `lanes` threads (a power of two)
// lie along the channels, the others along the rows.

#define BLOCK 256  // threads
#define AT_ONCE 8  // rows a thread reads before it does anything with them

// How many values, their mean, and the sum of the squares of their distances from it.
struct Moments {
  W count, mean, spread;
};

// Those of two groups together (Chan, Golub and LeVeque, 1979).
__device__ __forceinline__ Moments together(Moments a, Moments b) {
  if (b.count == (W)0) return a;
  if (a.count == (W)0) return b;
  W count = a.count + b.count, way = b.mean - a.mean, share = b.count / count;
  Moments both = {count, a.mean + way * share,
                  a.spread + b.spread + way * way * a.count * share};
  return both;
}

// Those of a column of a block's threads, in the first of them. shared: 3 * BLOCK values.
__device__ __forceinline__ Moments block_moments(Moments m, int lanes, W *shared) {
  W *mine = shared + 3 * threadIdx.x;
  for (int width = blockDim.x / 2; width >= lanes; width /= 2) {
    mine[0] = m.count, mine[1] = m.mean, mine[2] = m.spread;
    __syncthreads();
    if (threadIdx.x < width) {
      const W *other = mine + 3 * width;
      Moments b = {other[0], other[1], other[2]};
      m = together(m, b);
    }
    __syncthreads();
  }
  return m;
}

// The sum over a column of a block's threads, in the first of them. shared: BLOCK values.
__device__ __forceinline__ W column_sum(W value, int lanes, W *shared) {
  for (int width = blockDim.x / 2; width >= lanes; width /= 2) {
    shared[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x < width) value += shared[threadIdx.x + width];
    __syncthreads();
  }
  return value;
}

// First stage: partial (blocks of rows, 2, channels) = mean and spread.
extern "C" __global__ void moments(const T *__restrict__ x, W *__restrict__ partial, I rows,
                                   int channels, int lanes, I chunk) {
  __shared__ W shared[3 * BLOCK];
  int channel = blockIdx.x * lanes + threadIdx.x % lanes, step = blockDim.x / lanes;
  I first = (I)blockIdx.y * chunk, last = rows - first < chunk ? rows : first + chunk;
  Moments m = {(W)0, (W)0, (W)0};
  if (channel < channels) {
    I row = first + (I)(threadIdx.x / lanes);
    for (; last - row > (AT_ONCE - 1) * step; row += AT_ONCE * step) {
      W values[AT_ONCE];
      Moments these = {(W)AT_ONCE, (W)0, (W)0};
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) values[k] = (W)x[(row + k * step) * channels + channel];
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) these.mean += values[k] / (W)AT_ONCE;
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++)
        these.spread += (values[k] - these.mean) * (values[k] - these.mean);
      m = together(m, these);
    }
    for (; row < last; row += step) {
      Moments one = {(W)1, (W)x[row * channels + channel], (W)0};
      m = together(m, one);
    }
  }
  m = block_moments(m, lanes, shared);
  if (threadIdx.x < lanes && channel < channels) {
    I at = (I)blockIdx.y * 2 * channels + channel;
    partial[at] = m.mean;
    partial[at + channels] = m.spread;
  }
}

// Second stage: stats (3, channels) = mean, variance, 1 / sqrt(variance + eps); the running mean
// and variance, where there are any, move by `momentum` (the variance unbiased).
extern "C" __global__ void statistics(const W *__restrict__ partial, W *__restrict__ stats,
                                      W *__restrict__ running_mean, W *__restrict__ running_var,
                                      I rows, int channels, int lanes, I chunk, int blocks,
                                      W momentum, W eps) {
  __shared__ W shared[3 * BLOCK];
  int channel = blockIdx.x * lanes + threadIdx.x % lanes, step = blockDim.x / lanes;
  Moments m = {(W)0, (W)0, (W)0};
  if (channel < channels) {
    for (int block = threadIdx.x / lanes; block < blocks; block += step) {
      I first = (I)block * chunk, at = (I)block * 2 * channels + channel;
      Moments these = {(W)(rows - first < chunk ? rows - first : chunk), partial[at],
                       partial[at + channels]};
      m = together(m, these);
    }
  }
  m = block_moments(m, lanes, shared);
  if (threadIdx.x < lanes && channel < channels) {
    W var = m.spread / (W)rows;
    stats[channel] = m.mean;
    stats[channels + channel] = var;
    stats[2 * channels + channel] = (W)1 / sqrt(var + eps);
    if (running_mean) {
      W unbiased = rows > 1 ? m.spread / (W)(rows - 1) : var;
      running_mean[channel] = running_mean[channel] * ((W)1 - momentum) + m.mean * momentum;
      running_var[channel] = running_var[channel] * ((W)1 - momentum) + unbiased * momentum;
    }
  }
}

// out = 1 / sqrt(var + eps)
extern "C" __global__ void inverse_std(const W *__restrict__ var, W *__restrict__ out, I n, W eps) {
  FOR(i, n) out[i] = (W)1 / sqrt(var[i] + eps);
}

// A loop over elements that also knows their channel.
#define FOR_CHANNELS(i, channel, n, channels)                                                      \
  for (I i = (I)blockIdx.x * (I)blockDim.x + (I)threadIdx.x, step_ = (I)gridDim.x * (I)blockDim.x, \
         hop_ = step_ % (channels), channel = i % (channels);                                      \
       i < (n); i += step_, channel += hop_, channel -= channel >= (channels) ? (channels) : 0)

// out = (x - mean) * invstd * weight + bias; no weight: 1, no bias: 0.
extern "C" __global__ void normalize(const T *__restrict__ x, const W *__restrict__ mean,
                                     const W *__restrict__ invstd, const W *__restrict__ weight,
                                     const W *__restrict__ bias, T *__restrict__ out, I n,
                                     int channels) {
  FOR_CHANNELS(i, c, n, channels) {
    W scale = weight ? invstd[c] * weight[c] : invstd[c];
    W shift = bias ? bias[c] : (W)0;
    out[i] = (T)(((W)x[i] - mean[c]) * scale + shift);
  }
}

// First stage of the gradients: partial (blocks of rows, 2, channels) = sums of g and g * xhat,
// where xhat = (x - mean) * invstd.
extern "C" __global__ void gradient_sums(const T *__restrict__ g, const T *__restrict__ x,
                                         const W *__restrict__ mean, const W *__restrict__ invstd,
                                         W *__restrict__ partial, I rows, int channels, int lanes,
                                         I chunk) {
  __shared__ W shared[BLOCK];
  int channel = blockIdx.x * lanes + threadIdx.x % lanes, step = blockDim.x / lanes;
  I first = (I)blockIdx.y * chunk, last = rows - first < chunk ? rows : first + chunk;
  W sum = (W)0, product = (W)0;
  if (channel < channels) {
    W center = mean[channel], scale = invstd[channel];
#pragma unroll 4
    for (I row = first + (I)(threadIdx.x / lanes); row < last; row += step) {
      W value = (W)g[row * channels + channel];
      sum += value;
      product += value * (((W)x[row * channels + channel] - center) * scale);
    }
  }
  sum = column_sum(sum, lanes, shared);
  product = column_sum(product, lanes, shared);
  if (threadIdx.x < lanes && channel < channels) {
    I at = (I)blockIdx.y * 2 * channels + channel;
    partial[at] = sum;
    partial[at + channels] = product;
  }
}

// Second stage: grads (2, channels) = sums of g * xhat (for the weight) and of g (for the bias).
extern "C" __global__ void gradient_totals(const W *__restrict__ partial, W *__restrict__ grads,
                                           int channels, int lanes, int blocks) {
  __shared__ W shared[BLOCK];
  int channel = blockIdx.x * lanes + threadIdx.x % lanes, step = blockDim.x / lanes;
  W sum = (W)0, product = (W)0;
  if (channel < channels) {
    for (int block = threadIdx.x / lanes; block < blocks; block += step) {
      I at = (I)block * 2 * channels + channel;
      sum += partial[at];
      product += partial[at + channels];
    }
  }
  sum = column_sum(sum, lanes, shared);
  product = column_sum(product, lanes, shared);
  if (threadIdx.x < lanes && channel < channels) {
    grads[channel] = product;
    grads[channels + channel] = sum;
  }
}

// The gradient for x. In training (share: 1 / rows, else 0) the statistics depend on x: what moves
// them is taken out.
extern "C" __global__ void normalize_grad(const T *__restrict__ g, const T *__restrict__ x,
                                          const W *__restrict__ mean, const W *__restrict__ invstd,
                                          const W *__restrict__ weight,
                                          const W *__restrict__ grads, T *__restrict__ out, I n,
                                          int channels, W share) {
  FOR_CHANNELS(i, c, n, channels) {
    W scale = weight ? invstd[c] * weight[c] : invstd[c];
    W value = (W)g[i];
    if (share != (W)0) {
      W xhat = ((W)x[i] - mean[c]) * invstd[c];
      value -= (grads[channels + c] + xhat * grads[c]) * share;
    }
    out[i] = (T)(value * scale);
  }
}
