// Matrix products, tile by tile in shared memory. For small products, where a launch is all they
// cost, and wherever cuBLAS may not be called. Row-major operands, each as it is or transposed.
//
// Variants: TILE (32 or 64) rows and columns of the result a block of 256 threads computes, each
// thread (TILE / 16)^2 of them; TA, TB: the operand's memory holds its transpose; WIDE: the result
// is stored as W.

#ifndef TILE
#define TILE 64
#endif
#define DEEP 16
#define EACH (TILE / 16)
#define LOADS (TILE * DEEP / 256)

#ifdef WIDE
typedef W R;
#else
typedef T R;
#endif

// In each of `batches`, for each of `slices` of the depth k:
//   out[i, j] = alpha * sum_p a[i, p] * b[p, j] + beta * add[i, j]
// ld*: elements between rows as stored (of the transpose where TA or TB says so), step_* and
// add_step: between batches, `slice`: between the slices' results. add's steps may be 0; with more
// than one slice it is null. row_sums, where it isn't null, gets the sums of a's rows (of one batch
// and slice): what a layer's bias gets when a is the gradient, transposed.
extern "C" __global__ void gemm(const T *__restrict__ a, const T *__restrict__ b,
                                R *__restrict__ out, const T *__restrict__ add,
                                T *__restrict__ row_sums, int m, int n, int k, I lda, I ldb,
                                I ldc, long long step_a, long long step_b, long long step_c,
                                long long add_row, long long add_column, long long add_step,
                                W alpha, W beta, int batches, int slices, int slice_depth,
                                long long slice) {
  __align__(16) __shared__ W left[DEEP][TILE + 4];
  __align__(16) __shared__ W right[DEEP][TILE + 4];
  const int t = (int)threadIdx.x, tx = t % 16, ty = t / 16;
  const int rows = (m + TILE - 1) / TILE, columns = (n + TILE - 1) / TILE;
  const int works = batches * slices;
  for (int work = (int)blockIdx.z; work < works; work += (int)gridDim.z)
    for (int by = (int)blockIdx.y; by < columns; by += (int)gridDim.y)
      for (int bx = (int)blockIdx.x; bx < rows; bx += (int)gridDim.x) {
        const int batch = work / slices, part = work % slices;
        const T *__restrict__ from_a = a + batch * step_a;
        const T *__restrict__ from_b = b + batch * step_b;
        const int i0 = bx * TILE, j0 = by * TILE;
        const int p0 = part * slice_depth, p1 = p0 + slice_depth < k ? p0 + slice_depth : k;
        const bool summing = row_sums && by == 0 && t < TILE;
        W sums[EACH][EACH], next_a[LOADS], next_b[LOADS], row_sum = (W)0;
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
          for (int j = 0; j < EACH; ++j) sums[i][j] = (W)0;

        for (int p = p0 - DEEP; p < p1; p += DEEP) {
          // The next piece is on its way to registers while this one is multiplied.
          const int q = p + DEEP;
#pragma unroll
          for (int l = 0; l < LOADS; ++l) {
            const int e = t + l * 256;
#ifdef TA
            const int ai = e % TILE, ap = e / TILE;
            next_a[l] = i0 + ai < m && q + ap < p1 ? (W)from_a[(I)(q + ap) * lda + i0 + ai] : (W)0;
#else
            const int ai = e / DEEP, ap = e % DEEP;
            next_a[l] = i0 + ai < m && q + ap < p1 ? (W)from_a[(I)(i0 + ai) * lda + q + ap] : (W)0;
#endif
#ifdef TB
            const int bj = e / DEEP, bp = e % DEEP;
            next_b[l] = j0 + bj < n && q + bp < p1 ? (W)from_b[(I)(j0 + bj) * ldb + q + bp] : (W)0;
#else
            const int bj = e % TILE, bp = e / TILE;
            next_b[l] = j0 + bj < n && q + bp < p1 ? (W)from_b[(I)(q + bp) * ldb + j0 + bj] : (W)0;
#endif
          }
          if (p >= p0) {
#pragma unroll
            for (int d = 0; d < DEEP; ++d) {
              W u[EACH], v[EACH];
#pragma unroll
              for (int i = 0; i < EACH; ++i) u[i] = left[d][ty * EACH + i];
#pragma unroll
              for (int j = 0; j < EACH; ++j) v[j] = right[d][tx * EACH + j];
#pragma unroll
              for (int i = 0; i < EACH; ++i)
#pragma unroll
                for (int j = 0; j < EACH; ++j) sums[i][j] += u[i] * v[j];
            }
            if (summing)
              for (int d = 0; d < DEEP; ++d) row_sum += left[d][t];
            __syncthreads();
          }
          if (q < p1) {
#pragma unroll
            for (int l = 0; l < LOADS; ++l) {
              const int e = t + l * 256;
#ifdef TA
              left[e / TILE][e % TILE] = next_a[l];
#else
              left[e % DEEP][e / DEEP] = next_a[l];
#endif
#ifdef TB
              right[e % DEEP][e / DEEP] = next_b[l];
#else
              right[e / TILE][e % TILE] = next_b[l];
#endif
            }
            __syncthreads();
          }
        }

        if (summing && i0 + t < m) row_sums[i0 + t] = (T)row_sum;
        R *__restrict__ to = out + batch * step_c + part * slice;
#pragma unroll
        for (int i = 0; i < EACH; ++i)
#pragma unroll
          for (int j = 0; j < EACH; ++j) {
            const int row = i0 + ty * EACH + i, column = j0 + tx * EACH + j;
            if (row < m && column < n) {
              W value = alpha * sums[i][j];
              if (add) value += beta * (W)add[batch * add_step + row * add_row + column * add_column];
              to[(I)row * ldc + column] = (R)value;
            }
          }
      }
}

// What the slices of a product sum to, in their order, and what is added; rounded once.
extern "C" __global__ void sum_slices(const W *__restrict__ parts, T *__restrict__ out,
                                      const T *__restrict__ add, I count, int slices, int n,
                                      long long add_row, long long add_column, W alpha, W beta) {
  FOR(i, count) {
    W total = (W)0;
    for (int s = 0; s < slices; ++s) total += parts[(long long)s * count + i];
    total *= alpha;
    if (add) total += beta * (W)add[i / n * add_row + i % n * add_column];
    out[i] = (T)total;
  }
}
