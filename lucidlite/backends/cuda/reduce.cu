// Sums over the middle of (outer, size, inner), in an order that only the shape decides: a block
// adds up `chunk` elements of each of `lanes` neighbours (a power of two).

// partial or out (outer, chunks, inner) = scale * sum, in W, or where it is final in T.
#ifdef FINAL
#define OUT T
#else
#define OUT W
#endif

extern "C" __global__ void fold(const T *__restrict__ x, OUT *__restrict__ out, I size, I inner,
                                int lanes, int tiles, I chunk, W scale) {
  __shared__ W shared[1024];
  I tile = (I)blockIdx.x % tiles, outer = (I)blockIdx.x / tiles;
  I column = tile * lanes + (I)(threadIdx.x % lanes);
  I first = (I)blockIdx.y * chunk, last = size - first < chunk ? size : first + chunk;
  W total = (W)0;
  if (column < inner) {
    const T *start = x + outer * size * inner + column;
#pragma unroll 4
    for (I k = first + (I)(threadIdx.x / lanes); k < last; k += (I)(blockDim.x / lanes))
      total += (W)start[k * inner];
  }
  for (int width = blockDim.x / 2; width >= lanes; width /= 2) {
    shared[threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.x < width) total += shared[threadIdx.x + width];
    __syncthreads();
  }
  if (threadIdx.x < lanes && column < inner)
    out[(outer * gridDim.y + blockIdx.y) * inner + column] = (OUT)(total * scale);
}
