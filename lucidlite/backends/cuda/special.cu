// Elementwise functions, of arrays in any one memory order; n counts packs.

// y = expression of the element `a` of x
#define MAP(expression)                                                        \
  FOR(i, n) {                                                                  \
    const Pack in = ((const Pack *)x)[i];                                      \
    Pack out;                                                                  \
    for (int k = 0; k < VEC; ++k) {                                            \
      const W a = (W)in.v[k];                                                  \
      out.v[k] = (T)(expression);                                              \
    }                                                                          \
    ((Pack *)y)[i] = out;                                                      \
  }

// NaN and -0 stay.
extern "C" __global__ void relu(const T *__restrict__ x, T *__restrict__ y, I n) {
  MAP(a < 0 ? (W)0 : a)
}

// `out` may be `g`: each thread reads an element before it writes it.
extern "C" __global__ void relu_grad(const T *g, const T *y, T *out, I n) {
  FOR(i, n) {
    Pack grad = ((const Pack *)g)[i];
    const Pack made = ((const Pack *)y)[i];
    for (int k = 0; k < VEC; ++k)
      if ((W)made.v[k] <= 0) grad.v[k] = (T)(W)0;
    ((Pack *)out)[i] = grad;
  }
}

extern "C" __global__ void sigmoid(const T *__restrict__ x, T *__restrict__ y, I n) {
  MAP((W)1 / ((W)1 + exp(-a)))
}

extern "C" __global__ void reciprocal_root(const T *__restrict__ x, T *__restrict__ y, I n) {
  MAP((W)1 / sqrt(a))
}

// The nearest multiple of 1 / scale, or of scale if `whole`.
extern "C" __global__ void round_to(
    const T *__restrict__ x, T *__restrict__ y, I n, W scale, int whole) {
  MAP(whole ? rint(a / scale) * scale : rint(a * scale) / scale)
}

extern "C" __global__ void error_function(const T *__restrict__ x, T *__restrict__ y, I n) {
  MAP(erf(a))
}

extern "C" __global__ void error_complement(const T *__restrict__ x, T *__restrict__ y, I n) {
  MAP(erfc(a))
}

// x times the normal distribution function: erfc loses nothing in its tail, where 1 + erf would.
extern "C" __global__ void gelu(const T *__restrict__ x, T *__restrict__ y, I n) {
  MAP(a * ((W)0.5 * erfc(a * (W)-0.70710678118654752440)))
}

extern "C" __global__ void gelu_tanh(const T *__restrict__ x, T *__restrict__ y, I n) {
  const W scale = (W)0.79788456080286535588, cubic = (W)0.044715;
  MAP(a * (tanh((a + a * a * (a * cubic)) * scale) * (W)0.5 + (W)0.5))
}

// From x towards end, counted from the nearer of them. One of `weights`, an element for each, and
// `weight`, one for all, is null.
extern "C" __global__ void lerp(
    const T *__restrict__ x, const T *__restrict__ end, const T *__restrict__ weights,
    const W *__restrict__ weight, T *__restrict__ y, I n) {
  FOR(i, n) {
    const Pack from = ((const Pack *)x)[i], to = ((const Pack *)end)[i];
    Pack out;
    for (int k = 0; k < VEC; ++k) {
      const W a = (W)from.v[k], b = (W)to.v[k];
      const W w = weight ? *weight : (W)((const Pack *)weights)[i].v[k];
      const W near = w < 0 ? -w : w;
      out.v[k] = (T)(near < (W)0.5 ? a + w * (b - a) : b - (b - a) * ((W)1 - w));
    }
    ((Pack *)y)[i] = out;
  }
}
