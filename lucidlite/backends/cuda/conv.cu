// Convolution on (N, H, W, C) images: what surrounds a matrix product (windows to rows and back),
// convolutions of one channel a group, the orders of a weight, and sums over columns.
//
// Weights: "spread" is the parameters' order (K, C, taps), "packed" is (K, taps, C), a window's own.
// Every sum runs in an order that depends on shapes alone.

// NARROW: what a `finish` or `add_bias` reads is stored as T.
#ifdef NARROW
typedef T S;
#else
typedef W S;
#endif

// A weight from spread to packed; n = K * C * taps.
extern "C" __global__ void pack_weight(const T *__restrict__ spread, T *__restrict__ packed, I n,
                                       int channels, int taps) {
  FOR(i, n) {
    const I c = i % channels, rest = i / channels, tap = rest % taps, k = rest / taps;
    packed[i] = spread[(k * channels + c) * taps + tap];
  }
}

// The windows of images as rows of (groups, rows, taps, C / groups); count = rows * C.
// A thread takes one channel of one window and walks the taps: neighbours write neighbours.
extern "C" __global__ void im2col(const T *__restrict__ x, W *__restrict__ columns, I count, int c,
                                  int height, int width, int out_height, int out_width, int kh,
                                  int kw, int sh, int sw, int dh, int dw, int top, int left,
                                  int groups) {
  const int each = c / groups, taps = kh * kw;
  const I rows = count / c;
  FOR(i, count) {
    const int channel = (int)(i % c), group = channel / each;
    const I row = i / c, line = row / out_width;
    const int at_w = (int)(row % out_width) * sw - left;
    const int at_h = (int)(line % out_height) * sh - top;
    const I image = line / out_height;
    const T *__restrict__ from = x + image * height * width * (I)c + channel;
    W *__restrict__ to = columns + ((long long)group * rows + row) * taps * each + channel % each;
    for (int p = 0; p < kh; ++p) {
      const int h = at_h + p * dh;
      for (int q = 0; q < kw; ++q) {
        const int w = at_w + q * dw;
        const bool inside = h >= 0 && h < height && w >= 0 && w < width;
        to[(long long)(p * kw + q) * each] = inside ? (W)from[((I)h * width + w) * c] : (W)0;
      }
    }
  }
}

// The way back: each element gathers what the windows over it have; count = N * H * W * C.
extern "C" __global__ void col2im(const W *__restrict__ columns, T *__restrict__ x, I count, int c,
                                  int height, int width, int out_height, int out_width, int kh,
                                  int kw, int sh, int sw, int dh, int dw, int top, int left,
                                  int groups, I rows) {
  const int each = c / groups, taps = kh * kw;
  FOR(i, count) {
    const int channel = (int)(i % c), group = channel / each;
    const I place = i / c, line = place / width, image = line / height;
    const int w = (int)(place % width) + left, h = (int)(line % height) + top;
    const W *__restrict__ from =
        columns + (long long)group * rows * taps * each + channel % each;
    W total = (W)0;
    for (int p = 0; p < kh; ++p) {
      const int from_h = h - p * dh, oh = sh == 1 ? from_h : from_h / sh;
      if (from_h < 0 || oh >= out_height || oh * sh != from_h) continue;
      for (int q = 0; q < kw; ++q) {
        const int from_w = w - q * dw, ow = sw == 1 ? from_w : from_w / sw;
        if (from_w < 0 || ow >= out_width || ow * sw != from_w) continue;
        const long long row = ((long long)image * out_height + oh) * out_width + ow;
        total += from[(row * taps + p * kw + q) * each];
      }
    }
    x[i] = (T)total;
  }
}

// The product's rows with the bias added, rounded once; count = rows * k. `sums` may be `out`.
extern "C" __global__ void add_bias(const S *sums, const T *__restrict__ bias, T *out, I count,
                                    int k) {
  FOR(i, count) out[i] = (T)((W)sums[i] + (bias ? (W)bias[i % k] : (W)0));
}

// Convolution where every group has one input channel and `many` outputs; count = N * OH * OW * K.
extern "C" __global__ void depthwise(const T *__restrict__ x, const T *__restrict__ weight,
                                     const T *__restrict__ bias, T *__restrict__ y, I count, int c,
                                     int many, int height, int width, int out_height,
                                     int out_width, int kh, int kw, int sh, int sw, int dh, int dw,
                                     int top, int left) {
  const int k = c * many;
  FOR(i, count) {
    const int output = (int)(i % k);
    const I row = i / k, line = row / out_width, image = line / out_height;
    const int at_w = (int)(row % out_width) * sw - left;
    const int at_h = (int)(line % out_height) * sh - top;
    const T *__restrict__ from = x + image * height * width * (I)c + output / many;
    const T *__restrict__ taps = weight + output * kh * kw;
    W total = (W)0;
    for (int p = 0; p < kh; ++p) {
      const int h = at_h + p * dh;
      if (h < 0 || h >= height) continue;
      for (int q = 0; q < kw; ++q) {
        const int w = at_w + q * dw;
        if (w < 0 || w >= width) continue;
        total += (W)from[((I)h * width + w) * c] * (W)taps[p * kw + q];
      }
    }
    y[i] = (T)(bias ? total + (W)bias[output] : total);
  }
}

extern "C" __global__ void depthwise_input_grad(const T *__restrict__ g,
                                                const T *__restrict__ weight, T *__restrict__ dx,
                                                I count, int c, int many, int height, int width,
                                                int out_height, int out_width, int kh, int kw,
                                                int sh, int sw, int dh, int dw, int top,
                                                int left) {
  const int k = c * many;
  FOR(i, count) {
    const int channel = (int)(i % c);
    const I place = i / c, line = place / width, image = line / height;
    const int w = (int)(place % width) + left, h = (int)(line % height) + top;
    W total = (W)0;
    for (int p = 0; p < kh; ++p) {
      const int from_h = h - p * dh, oh = sh == 1 ? from_h : from_h / sh;
      if (from_h < 0 || oh >= out_height || oh * sh != from_h) continue;
      for (int q = 0; q < kw; ++q) {
        const int from_w = w - q * dw, ow = sw == 1 ? from_w : from_w / sw;
        if (from_w < 0 || ow >= out_width || ow * sw != from_w) continue;
        const T *__restrict__ from =
            g + ((image * out_height + oh) * out_width + ow) * (I)k + channel * many;
        for (int j = 0; j < many; ++j)
          total += (W)from[j] * (W)weight[((channel * many + j) * kh + p) * kw + q];
      }
    }
    dx[i] = (T)total;
  }
}

// The weight's gradient of `depthwise` in blockIdx.x's share of the rows: parts of (K, taps).
extern "C" __global__ void depthwise_weight_parts(const T *__restrict__ g,
                                                  const T *__restrict__ x, W *__restrict__ parts,
                                                  I rows, I share, int c, int many, int height,
                                                  int width, int out_height, int out_width, int kh,
                                                  int kw, int sh, int sw, int dh, int dw, int top,
                                                  int left) {
  const int k = c * many, taps = kh * kw;
  const I first = (I)blockIdx.x * share, end = first + share < rows ? first + share : rows;
  for (int e = (int)(blockIdx.y * blockDim.x + threadIdx.x); e < k * taps;
       e += (int)(gridDim.y * blockDim.x)) {
    const int output = e % k, tap = e / k, p = tap / kw * dh - top, q = tap % kw * dw - left;
    W total = (W)0;
    for (I row = first; row < end; ++row) {
      const I line = row / out_width, image = line / out_height;
      const int w = (int)(row % out_width) * sw + q, h = (int)(line % out_height) * sh + p;
      if (h >= 0 && h < height && w >= 0 && w < width)
        total += (W)g[row * k + output] *
                 (W)x[((image * height + h) * width + w) * (I)c + output / many];
    }
    parts[(long long)blockIdx.x * k * taps + output * taps + tap] = total;
  }
}

// The sums of a (rows, k) matrix's columns in blockIdx.x's share of the rows: into `parts`, a row a
// block, or rounded into `out` where there is one block. A block's 256 threads stand `across`
// columns wide (a power of two); blockIdx.y says which columns.
extern "C" __global__ void column_parts(const T *__restrict__ x, W *__restrict__ parts,
                                        T *__restrict__ out, I rows, I share, int k, int across) {
  __shared__ W sums[256];
  const int t = (int)threadIdx.x, down = 256 / across;
  const I first = (I)blockIdx.x * share, end = first + share < rows ? first + share : rows;
  for (int from = (int)blockIdx.y * across; from < k; from += (int)gridDim.y * across) {
    const int column = from + t % across;
    W total = (W)0;
    if (column < k) {
      I row = first + t / across;
      for (; row + 3 * down < end; row += 4 * down) {
        const T *__restrict__ at = x + row * k + column;
        const I step = (I)down * k;
        const W u = (W)at[0], v = (W)at[step], w = (W)at[2 * step], z = (W)at[3 * step];
        total += (u + v) + (w + z);
      }
      for (; row < end; row += down) total += (W)x[row * k + column];
    }
    sums[t] = total;
    __syncthreads();
    for (int half = down / 2; half; half /= 2) {
      if (t < half * across) sums[t] += sums[t + half * across];
      __syncthreads();
    }
    if (t < across && column < k) {
      if (out) out[column] = (T)sums[t];
      else parts[(long long)blockIdx.x * k + column] = sums[t];
    }
    __syncthreads();
  }
}

// What a convolution's backward still has to do: `slices` packed gradients of a weight summed and
// spread (`count` elements), and the bias's gradient summed from `blocks` parts (k elements).
extern "C" __global__ void finish(const S *__restrict__ packed, T *__restrict__ spread, I count,
                                  int slices, int channels, int taps, const W *__restrict__ parts,
                                  T *__restrict__ sums, int k, int blocks) {
  FOR(i, count + k) {
    W total = (W)0;
    if (i < count) {
      const I tap = i % taps, rest = i / taps, c = rest % channels, output = rest / channels;
      const S *__restrict__ from = packed + (output * taps + tap) * channels + c;
      for (int s = 0; s < slices; ++s) total += (W)from[(long long)s * count];
      spread[i] = (T)total;
    } else {
      for (int b = 0; b < blocks; ++b) total += parts[(long long)b * k + (i - count)];
      sums[i - count] = (T)total;
    }
  }
}
