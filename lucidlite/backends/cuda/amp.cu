// Loss scaling: gradients divided by the scale and looked through, and the scale's next value.

#define CHUNK 4096

// A table in device memory has a row for each gradient: the number of its first chunk, its size,
// its address. Each block takes a chunk, which lies in the last row that starts at it or before.
extern "C" __global__ void unscale(const long long *__restrict__ table, int rows,
                                   const float *__restrict__ scale, float *__restrict__ found) {
  const long long chunk = blockIdx.x;
  int low = 0, high = rows - 1;
  while (low < high) {
    const int middle = (low + high + 1) >> 1;
    if (table[3 * middle] <= chunk) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const long long *row = table + 3 * low;
  T *grad = (T *)row[2];
  const long long start = (chunk - row[0]) * CHUNK;
  const long long end = start + CHUNK < row[1] ? start + CHUNK : row[1];
  const W inverse = (W)(float)(1.0 / (double)scale[0]);
  bool fine = true;
  for (long long i = start + threadIdx.x; i < end; i += blockDim.x) {
    const W value = (W)grad[i];
    fine = fine && value - value == (W)0;  // not so for inf and NaN
    grad[i] = (T)(value * inverse);
  }
  if (!fine) found[0] = 1.0f;  // whoever writes writes the same
}

extern "C" __global__ void update_scale(float *scale, int *tracker, const float *found,
                                        float growth, float backoff, int interval) {
  if (blockIdx.x || threadIdx.x) return;
  if (found[0] != 0.0f) {
    scale[0] *= backoff;
    tracker[0] = 0;
    return;
  }
  tracker[0] += 1;
  if (tracker[0] != interval) return;
  const float larger = scale[0] * growth;
  if (larger - larger == 0.0f) scale[0] = larger;
  tracker[0] = 0;
}
