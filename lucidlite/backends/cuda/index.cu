// Elements named by index: the check of indices, taking them out, adding them up.
//
// Sums are taken in the order of the indices by one thread a place: no atomics, the same bits each
// time. Where an array is indexed, negative numbers count from the end; in gather and scatter not.

// Raises alarm `number` where an integer lies outside [low, high), unless it is `ignore` and that
// is asked for.
extern "C" __global__ void look(const long long *__restrict__ index, I n, long long low,
                                long long high, long long ignore, int ignores,
                                unsigned long long *alarm, int number) {
  FOR(i, n) {
    long long at = index[i];
    if ((at < low || at >= high) && !(ignores && at == ignore)) raise_alarm(alarm, number, at);
  }
}

__device__ __forceinline__ long long wrapped(long long at, long long size) {
  at = at < 0 ? at + size : at;
  return at < 0 || at >= size ? -1 : at;
}

// x (outer, size, inner), index (n): out[o, j, k] = x[o, index[j], k], NaN for what isn't there.
extern "C" __global__ void take(const T *__restrict__ x, const long long *__restrict__ index,
                                T *__restrict__ out, I count, I n, I inner, I size) {
  FOR(i, count) {
    I k = i % inner, row = i / inner;
    long long at = wrapped(index[row % n], size);
    out[i] = at < 0 ? (T)NAN_W : x[(row / n * size + (I)at) * inner + k];
  }
}

// x (outer, size, inner), index and out (outer, n, inner): out[o, j, k] = x[o, index[o, j, k], k].
extern "C" __global__ void gather(const T *__restrict__ x, const long long *__restrict__ index,
                                  T *__restrict__ out, I count, I n, I inner, I size) {
  FOR(i, count) {
    long long at = index[i];
    bool there = at >= 0 && at < size;
    out[i] = !there ? (T)NAN_W : x[(i / (n * inner) * size + (I)at) * inner + i % inner];
  }
}

// The transpose: adds source (outer, n, inner) to out (outer, size, inner), a column a thread. What
// belongs nowhere makes the first of its column NaN.
extern "C" __global__ void scatter(T *__restrict__ out, const T *__restrict__ source,
                                   const long long *__restrict__ index, I columns, I n, I inner,
                                   I size) {
  FOR(column, columns) {
    I o = column / inner, k = column % inner;
    for (I j = 0; j < n; j++) {
      I i = (o * n + j) * inner + k;
      long long at = index[i];
      bool there = at >= 0 && at < size;
      I to = (o * size + (there ? (I)at : (I)0)) * inner + k;
      if (size) out[to] = (T)((W)out[to] + (there ? (W)source[i] : NAN_W));
    }
  }
}

// For every index, the next place in the list that holds the same one (n: none), and whether it is
// the first that does: next (n), leads (n).
extern "C" __global__ void link(const long long *__restrict__ index, int *__restrict__ next,
                                int *__restrict__ leads, int n, long long size) {
  FOR(j, n) {
    long long at = wrapped(index[j], size);
    int first = at >= 0, after = n;
    for (int i = 0; first && i < j; i++) first = wrapped(index[i], size) != at;
    for (int i = (int)j + 1; after == n && i < n; i++)
      if (wrapped(index[i], size) == at) after = i;
    next[j] = after;
    leads[j] = first;
  }
}

// Adds values (outer, n, inner) to out (outer, size, inner) at index (n), by those links.
extern "C" __global__ void add_linked(T *__restrict__ out, const T *__restrict__ values,
                                      const long long *__restrict__ index,
                                      const int *__restrict__ next, const int *__restrict__ leads,
                                      I count, I n, I inner, I size) {
  FOR(i, count) {
    I k = i % inner, row = i / inner, o = row / n;
    int j = (int)(row % n);
    if (!leads[j]) continue;
    I to = (o * size + (I)wrapped(index[j], size)) * inner + k;
    W total = (W)out[to];
    for (; j < (int)n; j = next[j]) total += (W)values[(o * n + j) * inner + k];
    out[to] = (T)total;
  }
}

// The same where `order` sorts index: places that hold one index follow each other.
extern "C" __global__ void add_sorted(T *__restrict__ out, const T *__restrict__ values,
                                      const long long *__restrict__ index,
                                      const long long *__restrict__ order, I count, I n, I inner,
                                      I size) {
  FOR(i, count) {
    I k = i % inner, row = i / inner, o = row / n, p = row % n;
    long long at = index[order[p]];
    if (at < 0 || at >= size || (p > 0 && index[order[p - 1]] == at)) continue;
    I to = (o * size + (I)at) * inner + k;
    W total = (W)out[to];
    for (; p < n && index[order[p]] == at; p++)
      total += (W)values[(o * n + (I)order[p]) * inner + k];
    out[to] = (T)total;
  }
}
