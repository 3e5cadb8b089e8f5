// Softmax and cross-entropy. Scores lie in rows, each handled by THREADS threads: a warp, or a
// whole block; a block takes several rows at a time and goes on until there are none left.

#ifndef THREADS
#define THREADS 32
#endif

#define FOR_ROWS(row, rows)                                                                        \
  for (I row = (I)blockIdx.x * (I)(blockDim.x / THREADS) + (I)(threadIdx.x / THREADS);             \
       row < (rows); row += (I)gridDim.x * (I)(blockDim.x / THREADS))

// Over the threads of a row, in each of them.
__device__ __forceinline__ W row_sum(W value, W *shared) {
#if THREADS == 32
  for (int lane = 16; lane; lane >>= 1) value += __shfl_xor_sync(0xffffffffu, value, lane);
  return value;
#else
  return block_sum(value, shared);
#endif
}

__device__ __forceinline__ W row_max(W value, W *shared) {
#if THREADS == 32
  for (int lane = 16; lane; lane >>= 1) {
    W other = __shfl_xor_sync(0xffffffffu, value, lane);
    value = larger(value, other);
  }
  return value;
#else
  return block_max(value, shared);
#endif
}

// A row's largest value and the sum of exp(x - largest).
__device__ __forceinline__ W top_and_sum(const T *__restrict__ x, int size, W *shared, W *sum) {
  int lane = threadIdx.x % THREADS;
  W top = -INFINITY_W, total = (W)0;
  for (int k = lane; k < size; k += THREADS) top = larger((W)x[k], top);
  top = row_max(top, shared);
  for (int k = lane; k < size; k += THREADS) total += exp((W)x[k] - top);
  *sum = row_sum(total, shared);
  return top;
}

// out = softmax of every row, or its logarithm.
extern "C" __global__ void softmax(const T *__restrict__ x, T *__restrict__ out, I rows, int size,
                                   int logarithm) {
  __shared__ W shared[32];
  FOR_ROWS(row, rows) {
    const T *scores = x + row * size;
    W sum, top = top_and_sum(scores, size, shared, &sum);
    W log_sum = log(sum);
    for (int k = threadIdx.x % THREADS; k < size; k += THREADS) {
      W shifted = (W)scores[k] - top;
      out[row * size + k] = (T)(logarithm ? shifted - log_sum : exp(shifted) / sum);
    }
  }
}

// The same along the middle of (outer, size, inner): a column a thread.
extern "C" __global__ void softmax_columns(const T *__restrict__ x, T *__restrict__ out, I columns,
                                           int size, I inner, int logarithm) {
  FOR(column, columns) {
    I start = column / inner * size * inner + column % inner;
    W top = -INFINITY_W, sum = (W)0;
    for (int k = 0; k < size; k++) top = larger((W)x[start + k * inner], top);
    for (int k = 0; k < size; k++) sum += exp((W)x[start + k * inner] - top);
    W log_sum = log(sum);
    for (int k = 0; k < size; k++) {
      W shifted = (W)x[start + k * inner] - top;
      out[start + k * inner] = (T)(logarithm ? shifted - log_sum : exp(shifted) / sum);
    }
  }
}

// out[row] = log(sum(exp(x))): the largest value is only taken off where it is finite.
extern "C" __global__ void logsumexp(const T *__restrict__ x, T *__restrict__ out, I rows,
                                     int size) {
  __shared__ W shared[32];
  FOR_ROWS(row, rows) {
    W sum, top = top_and_sum(x + row * size, size, shared, &sum);
    bool infinite = top == INFINITY_W || top == -INFINITY_W;
    if (threadIdx.x % THREADS == 0) out[row] = (T)(infinite ? top : top + log(sum));
  }
}

// The gradients of softmax and of its logarithm from their results y: along a row,
// y * (g - sum(g * y)) and g - exp(y) * sum(g).
extern "C" __global__ void softmax_grad(const T *__restrict__ g, const T *__restrict__ y,
                                        T *__restrict__ out, I rows, int size, int logarithm) {
  __shared__ W shared[32];
  FOR_ROWS(row, rows) {
    W total = (W)0;
    for (int k = threadIdx.x % THREADS; k < size; k += THREADS) {
      I i = row * size + k;
      total += logarithm ? (W)g[i] : (W)g[i] * (W)y[i];
    }
    total = row_sum(total, shared);
    for (int k = threadIdx.x % THREADS; k < size; k += THREADS) {
      I i = row * size + k;
      out[i] = (T)(logarithm ? (W)g[i] - exp((W)y[i]) * total : (W)y[i] * ((W)g[i] - total));
    }
  }
}

// The same along the middle of (outer, size, inner): a column a thread.
extern "C" __global__ void softmax_grad_columns(const T *__restrict__ g, const T *__restrict__ y,
                                                T *__restrict__ out, I columns, int size, I inner,
                                                int logarithm) {
  FOR(column, columns) {
    I start = column / inner * size * inner + column % inner;
    W total = (W)0;
    for (int k = 0; k < size; k++) {
      I i = start + k * inner;
      total += logarithm ? (W)g[i] : (W)g[i] * (W)y[i];
    }
    for (int k = 0; k < size; k++) {
      I i = start + k * inner;
      out[i] = (T)(logarithm ? (W)g[i] - exp((W)y[i]) * total : (W)y[i] * ((W)g[i] - total));
    }
  }
}

// Minus the log-likelihood of each row's target, added up: `partial` holds a sum and a count of the
// rows that count for each block, `rowwise` a row's largest score, then 1 / sum(exp(x - largest)).
// A target that is no class raises the alarm and makes its row NaN.
extern "C" __global__ void cross_entropy(const T *__restrict__ x,
                                         const long long *__restrict__ target,
                                         W *__restrict__ rowwise, W *__restrict__ partial, I rows,
                                         int classes, long long ignore, int ignores,
                                         unsigned long long *alarm, int number) {
  __shared__ W shared[32];
  W loss = (W)0, count = (W)0;
  FOR_ROWS(row, rows) {
    const T *scores = x + row * classes;
    W sum, top = top_and_sum(scores, classes, shared, &sum);
    if (threadIdx.x % THREADS == 0) {
      long long at = target[row];
      if (!(ignores && at == ignore)) {
        count += (W)1;
        if (at < 0 || at >= classes) {
          raise_alarm(alarm, number, at);
          top = NAN_W;
          loss = NAN_W;
        } else {
          loss += log(sum) - ((W)scores[at] - top);
        }
      }
      rowwise[row] = top;
      rowwise[rows + row] = (W)1 / sum;
    }
  }
  loss = block_sum(loss, shared);
  count = block_sum(count, shared);
  if (threadIdx.x == 0) {
    partial[2 * blockIdx.x] = loss;
    partial[2 * blockIdx.x + 1] = count;
  }
}

// The sums of all blocks: the loss, and what every row's gradient is multiplied with. One block.
extern "C" __global__ void cross_entropy_sum(const W *__restrict__ partial, T *__restrict__ loss,
                                             W *__restrict__ scale, int blocks, int mean) {
  __shared__ W shared[32];
  W sum = (W)0, count = (W)0;
  for (int i = threadIdx.x; i < blocks; i += blockDim.x) {
    sum += partial[2 * i];
    count += partial[2 * i + 1];
  }
  sum = block_sum(sum, shared);
  count = block_sum(count, shared);
  if (threadIdx.x == 0) {
    loss[0] = (T)(mean ? sum / count : sum);
    scale[0] = mean ? (W)1 / count : (W)1;
  }
}

// The gradient: g * scale * (softmax - one at the target), 0 in rows that don't count.
extern "C" __global__ void cross_entropy_grad(const T *__restrict__ g, const T *__restrict__ x,
                                              const long long *__restrict__ target,
                                              const W *__restrict__ rowwise,
                                              const W *__restrict__ scale, T *__restrict__ out,
                                              I n, I rows, int classes, long long ignore,
                                              int ignores) {
  W factor = (W)g[0] * scale[0];
  FOR(i, n) {
    I row = i / classes;
    long long at = target[row];
    W share = exp((W)x[i] - rowwise[row]) * rowwise[rows + row];
    share -= at == i - row * classes ? (W)1 : (W)0;
    out[i] = (T)(ignores && at == ignore ? (W)0 : share * factor);
  }
}
