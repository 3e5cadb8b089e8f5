// Pooling of (N, H, W, C) images and its gradients, all as gathers: every thread owns the elements
// it writes, and reads what they need in a fixed order. It has one column of the written image and
// VEC of its channels, and goes through rows (of all images, one after the other): what it divides
// to find its column is divided once. `columns` counts packs in a row of the written image, `packs`
// those of a pixel.
// k, s, p, d with h or w: kernel size, stride, padding before, dilation along height or width.

#ifndef TAP_BYTES
#define TAP_BYTES 1
#endif
#if TAP_BYTES == 1
typedef unsigned char Tap;
#elif TAP_BYTES == 2
typedef unsigned short Tap;
#else
typedef unsigned Tap;
#endif

struct alignas(sizeof(Tap) * VEC) TapPack {
  Tap v[VEC];
};

// For all columns, each at pixel w and its pack c of channels; for all rows, each row h of image n.
#define COLUMNS(w, c)                                                          \
  FOR(column, columns)                                                         \
  if (const int w = (int)(column / packs), c = (int)(column - w * packs); true)
#define ROWS(n, h, height)                                                     \
  for (I row = blockIdx.y; row < rows; row += gridDim.y)                       \
    if (const I n = row / height, h = row - n * height; true)
#define EACH(k) for (int k = 0; k < VEC; ++k)
#define WRITE(y, pack) ((Pack *)y)[row * columns + column] = pack

__device__ __forceinline__ Pack packed(const W *values) {
  Pack out;
  EACH(k) out.v[k] = (T)values[k];
  return out;
}

// The tap that stands for a window of which nothing is on the plane: the first past near padding.
__device__ __forceinline__ int first_tap(int start, int k, int d) {
  return start < 0 ? min((d - 1 - start) / d, k - 1) : 0;
}

__device__ __forceinline__ bool within(int at, int n) { return (unsigned)at < (unsigned)n; }

// The windows along an axis that reach over an element, which is `at` from the padding's edge.
struct Reach {
  int first, last;
};

__device__ __forceinline__ Reach reach(int at, int outputs, int stride, int extent) {
  const int last = at / stride;
  int first = at - last * stride < extent ? last : last + 1;
  while (first > 0 && at - (first - 1) * stride < extent) --first;
  return {first, min(last, outputs - 1)};
}

// Which tap is `by` elements into a window; -1 where dilation steps over it.
__device__ __forceinline__ int tap_at(int by, int d) {
  return d == 1 ? by : by % d ? -1 : by / d;
}

// How many elements a window's average counts along an axis.
__device__ __forceinline__ int counted(int start, int k, int n, int after, int include_pad) {
  return min(start + k, include_pad ? n + after : n) - (include_pad ? start : max(start, 0));
}

// Bins of adaptive pooling, and those that an element is in.
__device__ __forceinline__ int bin_start(int i, int n, int outputs) { return i * n / outputs; }

__device__ __forceinline__ int bin_end(int i, int n, int outputs) {
  return ((i + 1) * n + outputs - 1) / outputs;
}

__device__ __forceinline__ Reach bins_of(int at, int n, int outputs) {
  return {at * outputs / n, ((at + 1) * outputs + n - 1) / n - 1};
}

// The largest of a window's elements, and its number: `number` for the first tap, `step` more a row
// and `lone` if nothing beats padding. The first of equal elements wins; NaN beats everything, a
// later NaN an earlier one.
__device__ __forceinline__ void largest(
    const Pack *image, I packs, int height, int width, int top, int left, int kh, int kw, int dh,
    int dw, I number, I step, I lone, W *best, I *at) {
  EACH(k) best[k] = -INFINITY_W;
  EACH(k) at[k] = lone;
  for (int h = top; kh--; h += dh, number += step) {
    if (!within(h, height)) continue;
    const Pack *line = image + (I)h * width * packs;
    for (int j = 0, w = left; j < kw; ++j, w += dw) {
      if (!within(w, width)) continue;
      const Pack in = line[w * packs];
      EACH(k) {
        const W value = (W)in.v[k];
        if (value > best[k] || value != value) {
          best[k] = value;
          at[k] = number + j;
        }
      }
    }
  }
}

// `taps` may be null: then nobody asks where in their windows the maxima are.
extern "C" __global__ void max_pool(
    const T *__restrict__ x, T *__restrict__ y, Tap *__restrict__ taps, I rows, I columns, I packs,
    int height, int width, int out_height, int kh, int kw, int sh, int sw, int ph, int pw, int dh,
    int dw) {
  COLUMNS(ow, c) {
    const int left = ow * sw - pw, lone = first_tap(left, kw, dw);
    ROWS(n, oh, out_height) {
      const int top = oh * sh - ph;
      const Pack *image = (const Pack *)x + n * height * width * packs + c;
      W best[VEC];
      I at[VEC];
      largest(image, packs, height, width, top, left, kh, kw, dh, dw, 0, kw,
              first_tap(top, kh, dh) * kw + lone, best, at);
      WRITE(y, packed(best));
      if (!taps) continue;
      TapPack found;
      EACH(k) found.v[k] = (Tap)at[k];
      ((TapPack *)taps)[row * columns + column] = found;
    }
  }
}

extern "C" __global__ void adaptive_max_pool(
    const T *__restrict__ x, T *__restrict__ y, long long *__restrict__ places, I rows, I columns,
    I packs, int height, int width, int out_height, int out_width) {
  COLUMNS(ow, c) {
    const int left = bin_start(ow, width, out_width), right = bin_end(ow, width, out_width);
    ROWS(n, oh, out_height) {
      const int top = bin_start(oh, height, out_height), bottom = bin_end(oh, height, out_height);
      const Pack *image = (const Pack *)x + n * height * width * packs + c;
      const I number = (I)top * width + left;
      W best[VEC];
      I at[VEC];
      largest(image, packs, height, width, top, left, bottom - top, right - left, 1, 1, number,
              width, number, best, at);
      WRITE(y, packed(best));
      EACH(k) places[(row * columns + column) * VEC + k] = at[k];
    }
  }
}

// Each gradient added to the element its window took: an element asks the windows over it.
// `disjoint`: there is one at most.
extern "C" __global__ void max_pool_grad(
    const T *__restrict__ g, const Tap *__restrict__ taps, T *__restrict__ dx, I rows, I columns,
    I packs, int height, int out_height, int out_width, int kh, int kw, int sh, int sw, int ph,
    int pw, int dh, int dw, int disjoint) {
  COLUMNS(w, c) {
    const Reach across = reach(w + pw, out_width, sw, (kw - 1) * dw + 1);
    ROWS(n, h, height) {
      const Reach down = reach(h + ph, out_height, sh, (kh - 1) * dh + 1);
      W sum[VEC] = {};
      for (int oh = down.first; oh <= down.last; ++oh) {
        const int i = tap_at(h + ph - oh * sh, dh);
        if (i < 0) continue;
        const I line = (n * out_height + oh) * out_width;
        for (int ow = across.first; ow <= across.last; ++ow) {
          const int j = tap_at(w + pw - ow * sw, dw);
          if (j < 0) continue;
          const I at = (line + ow) * packs + c;
          const TapPack taken = ((const TapPack *)taps)[at];
          const Pack grad = ((const Pack *)g)[at];
          EACH(k) {
            if (taken.v[k] != (Tap)(i * kw + j)) continue;
            sum[k] = disjoint ? (W)grad.v[k] : sum[k] + (W)grad.v[k];
          }
        }
      }
      WRITE(dx, packed(sum));
    }
  }
}

// The element of x that each window took; 0 where that is padding.
extern "C" __global__ void max_pool_gather(
    const T *__restrict__ x, const Tap *__restrict__ taps, T *__restrict__ y, I rows, I columns,
    I packs, int height, int width, int out_height, int kw, int sh, int sw, int ph, int pw, int dh,
    int dw) {
  COLUMNS(ow, c) {
    ROWS(n, oh, out_height) {
      const TapPack taken = ((const TapPack *)taps)[row * columns + column];
      Pack out;
      EACH(k) {
        const int i = (int)(taken.v[k] / kw), j = (int)taken.v[k] - i * kw;
        const int h = oh * sh - ph + i * dh, w = ow * sw - pw + j * dw;
        const I at = (((n * height + h) * width + w) * packs + c) * VEC + k;
        out.v[k] = within(h, height) && within(w, width) ? x[at] : (T)(W)0;
      }
      WRITE(y, out);
    }
  }
}

// Taps as positions in the flattened plane, padding not counted.
extern "C" __global__ void max_pool_places(
    const Tap *__restrict__ taps, long long *__restrict__ places, I count, int channels, int width,
    int out_height, int out_width, int kw, int sh, int sw, int ph, int pw, int dh, int dw) {
  FOR(at, count) {
    const I pixel = at / channels, row = pixel / out_width;
    const int i = (int)(taps[at] / kw), j = (int)taps[at] - i * kw;
    const int h = (int)(row % out_height) * sh - ph + i * dh;
    places[at] = (long long)h * width + (int)(pixel - row * out_width) * sw - pw + j * dw;
  }
}

// The elements at positions in their planes.
extern "C" __global__ void plane_gather(
    const T *__restrict__ x, const long long *__restrict__ places, T *__restrict__ y, I count,
    I channels, I plane, I outputs) {
  FOR(at, count) {
    const I pixel = at / channels;
    const I n = pixel / outputs, c = at - pixel * channels;
    y[at] = x[(n * plane + (I)places[at]) * channels + c];
  }
}

// The transpose: a thread has a channel of an image to itself, so that gradients that meet are
// added in their order.
extern "C" __global__ void plane_scatter(
    const T *__restrict__ g, const long long *__restrict__ places, W *dx, I count, I channels,
    I plane, I outputs) {
  FOR(at, count) {
    const I n = at / channels, c = at - n * channels, from = n * outputs * channels + c;
    W *to = dx + n * plane * channels + c;
    for (I i = 0; i < plane; ++i) to[i * channels] = 0;
    for (I i = from; i < from + outputs * channels; i += channels)
      to[(I)places[i] * channels] += (W)g[i];
  }
}

// The sum of the elements from (top, left) up to (bottom, right), over `by`: each column's is added
// up first. Sums that begin with -0 keep the sign of a zero.
__device__ __forceinline__ Pack average(
    const Pack *image, I packs, int width, int top, int bottom, int left, int right, W by) {
  W sum[VEC];
  EACH(k) sum[k] = (W)-0.0;
  for (int w = left; w < right; ++w) {
    W part[VEC];
    EACH(k) part[k] = (W)-0.0;
    for (int h = top; h < bottom; ++h) {
      const Pack in = image[((I)h * width + w) * packs];
      EACH(k) part[k] += (W)in.v[k];
    }
    EACH(k) sum[k] += part[k];
  }
  EACH(k) sum[k] /= by;
  return packed(sum);
}

// `divisor` 0: what the window counts.
extern "C" __global__ void avg_pool(
    const T *__restrict__ x, T *__restrict__ y, I rows, I columns, I packs, int height, int width,
    int out_height, int kh, int kw, int sh, int sw, int ph, int pw, int after_h, int after_w,
    int include_pad, int divisor) {
  COLUMNS(ow, c) {
    const int left = ow * sw - pw;
    const int across = counted(left, kw, width, after_w, include_pad);
    ROWS(n, oh, out_height) {
      const int top = oh * sh - ph;
      const int down = counted(top, kh, height, after_h, include_pad);
      const Pack out = average(
          (const Pack *)x + n * height * width * packs + c, packs, width, max(top, 0),
          min(top + kh, height), max(left, 0), min(left + kw, width),
          divisor ? (W)divisor : (W)((long long)down * across));
      WRITE(y, out);
    }
  }
}

extern "C" __global__ void adaptive_avg_pool(
    const T *__restrict__ x, T *__restrict__ y, I rows, I columns, I packs, int height, int width,
    int out_height, int out_width) {
  COLUMNS(ow, c) {
    const int left = bin_start(ow, width, out_width), right = bin_end(ow, width, out_width);
    ROWS(n, oh, out_height) {
      const int top = bin_start(oh, height, out_height), bottom = bin_end(oh, height, out_height);
      const Pack out = average(
          (const Pack *)x + n * height * width * packs + c, packs, width, top, bottom, left, right,
          (W)((long long)(bottom - top) * (right - left)));
      WRITE(y, out);
    }
  }
}

// The sum of the gradients of windows over an element, each over the divisor that `by(oh, ow)` gives:
// down the columns first. `alone_h`, `alone_w`: along that axis there is one window at most.
template <typename Divisor>
__device__ __forceinline__ Pack shares(
    const Pack *g, I packs, int out_width, Reach down, Reach across, int alone_h, int alone_w,
    Divisor by) {
  W sum[VEC] = {};
  for (int ow = across.first; ow <= across.last; ++ow) {
    W part[VEC] = {};
    for (int oh = down.first; oh <= down.last; ++oh) {
      const Pack in = g[((I)oh * out_width + ow) * packs];
      const W divisor = by(oh, ow);
      EACH(k) {
        const W share = (W)in.v[k] / divisor;
        part[k] = alone_h ? share : part[k] + share;
      }
    }
    EACH(k) sum[k] = alone_w ? part[k] : sum[k] + part[k];
  }
  return packed(sum);
}

extern "C" __global__ void avg_pool_grad(
    const T *__restrict__ g, T *__restrict__ dx, I rows, I columns, I packs, int height, int width,
    int out_height, int out_width, int kh, int kw, int sh, int sw, int ph, int pw, int after_h,
    int after_w, int include_pad, int divisor) {
  const auto by = [=](int oh, int ow) {
    if (divisor) return (W)divisor;
    const int down = counted(oh * sh - ph, kh, height, after_h, include_pad);
    const int across = counted(ow * sw - pw, kw, width, after_w, include_pad);
    return (W)((long long)down * across);
  };
  COLUMNS(w, c) {
    const Reach across = reach(w + pw, out_width, sw, kw);
    ROWS(n, h, height) {
      const Reach down = reach(h + ph, out_height, sh, kh);
      const Pack *image = (const Pack *)g + n * out_height * out_width * packs + c;
      const Pack out = shares(image, packs, out_width, down, across, sh >= kh, sw >= kw, by);
      WRITE(dx, out);
    }
  }
}

extern "C" __global__ void adaptive_avg_pool_grad(
    const T *__restrict__ g, T *__restrict__ dx, I rows, I columns, I packs, int height, int width,
    int out_height, int out_width) {
  const auto by = [=](int oh, int ow) {
    const int down = bin_end(oh, height, out_height) - bin_start(oh, height, out_height);
    const int across = bin_end(ow, width, out_width) - bin_start(ow, width, out_width);
    return (W)((long long)down * across);
  };
  COLUMNS(w, c) {
    const Reach across = bins_of(w, width, out_width);
    ROWS(n, h, height) {
      const Reach down = bins_of(h, height, out_height);
      const Pack *image = (const Pack *)g + n * out_height * out_width * packs + c;
      const Pack out = shares(image, packs, out_width, down, across, 0, 0, by);
      WRITE(dx, out);
    }
  }
}
