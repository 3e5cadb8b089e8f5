"""The CUDA simulator: it computes what a GPU would, and reports what a GPU would hang on."""

from __future__ import annotations

import numpy as np
import pytest
from cudasim import CompileError, KernelError, Program, kernels, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "g++ is here")

SOURCE = r"""
extern "C" __global__ void place(int *out) {
  int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}
extern "C" __global__ void reversed(const int *x, int *out) {
  __shared__ int all[64];
  all[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = all[63 - threadIdx.x];
}
extern "C" __global__ void dynamic(float *out) {
  extern __shared__ float room[];
  if (threadIdx.x == 0) out[0] = room[0];
}
extern "C" __global__ void shuffles(int *out) {
  int lane = threadIdx.x, k = 0;
  out[lane + 32 * k++] = __shfl_sync(~0u, lane * 10, 5);
  out[lane + 32 * k++] = __shfl_xor_sync(~0u, lane * 10, 3);
  out[lane + 32 * k++] = __shfl_down_sync(~0u, lane * 10, 4);
  out[lane + 32 * k++] = __shfl_up_sync(~0u, lane * 10, 4);
  out[lane + 32 * k++] = __shfl_down_sync(~0u, lane * 10, 4, 8);
  out[lane + 32 * k++] = (int)__ballot_sync(~0u, lane % 3 == 0);
  out[lane + 32 * k++] = __any_sync(~0u, lane == 7) + 2 * __all_sync(~0u, lane < 31);
  out[lane + 32 * k++] = __syncthreads_count(lane < 9);
}
extern "C" __global__ void some_wait(int *out) {
  if (threadIdx.x < 5) __syncthreads();
  out[threadIdx.x] = 1;
}
extern "C" __global__ void two_barriers(int *out) {
  if (threadIdx.x < 5)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 1;
}
extern "C" __global__ void half_a_warp(int *out) {
  out[threadIdx.x] = __shfl_xor_sync(~0u, out[threadIdx.x], 1);
}
extern "C" __global__ void left_out(int *out) {
  out[threadIdx.x] = __shfl_xor_sync(1u, out[threadIdx.x], 1);
}
extern "C" __global__ void beyond(int *out) {
  extern __shared__ int room[];
  room[8] = out[0];
}
extern "C" __global__ void one_forgot(int *out) {
  __shared__ int all[64];
  all[threadIdx.x] = threadIdx.x;
  out[threadIdx.x] = all[63 - threadIdx.x];
}
extern "C" __global__ void link(int *out) { out[0] = 7; }
extern "C" __global__ void counted(int *out) {
  atomicAdd(&out[0], 1);
  atomicMax(&out[1], (int)threadIdx.x);
  if (atomicCAS(&out[2], 0, 1 + (int)threadIdx.x) == 0) out[3] += 1;
}
"""
HALVES = r"""
extern "C" __global__ void up(const __half *x, float *y, int n) {
  for (int i = 0; i < n; i++) y[i] = (float)x[i];
}
extern "C" __global__ void down(const float *x, __half *y, int n) {
  for (int i = 0; i < n; i++) y[i] = (__half)x[i];
}
extern "C" __global__ void down_far(const double *x, __half *y, int n) {
  for (int i = 0; i < n; i++) y[i] = (__half)x[i];
}
"""


@pytest.fixture(scope="module")
def program():
    return Program(SOURCE)


def run(program, name, *args, grid=(1, 1, 1), block=(1, 1, 1), shared=0):
    given = [a.ctypes.data.to_bytes(8, "little") if isinstance(a, np.ndarray) else a.tobytes()
             for a in args]  # fmt: skip
    program.run(name, grid, block, given, shared)


@pytest.fixture(params=["forward", "backward"])
def order(request, monkeypatch):
    monkeypatch.setenv("CUDASIM_ORDER", request.param)
    return request.param


@pytest.mark.usefixtures("order")
def test_every_thread_of_every_block(program):
    out = np.full(2 * 3 * 2 * 4 * 2 * 3, -1, np.int32)
    run(program, "place", out, grid=(2, 3, 2), block=(4, 2, 3))
    assert out.tolist() == [block * 1000 + t for block in range(12) for t in range(24)]


@pytest.mark.usefixtures("order")
def test_barrier(program):
    x = np.arange(192, dtype=np.int32)
    out = np.zeros_like(x)
    run(program, "reversed", x, out, grid=(3, 1, 1), block=(64, 1, 1))
    assert np.array_equal(out.reshape(3, 64), x.reshape(3, 64)[:, ::-1])


def test_a_forgotten_barrier_shows(program, monkeypatch):
    seen = []
    for order in ("forward", "backward"):
        monkeypatch.setenv("CUDASIM_ORDER", order)
        out = np.zeros(64, np.int32)
        run(program, "one_forgot", out, block=(64, 1, 1))
        seen.append(out)
    assert not np.array_equal(*seen)
    assert -1 in seen[0]  # shared memory that nobody has written


@pytest.mark.usefixtures("order")
def test_shuffles(program):
    out = np.zeros((8, 32), np.int32)
    run(program, "shuffles", out, block=(32, 1, 1))
    lane = np.arange(32)
    assert (out[0] == 50).all()
    assert np.array_equal(out[1], (lane ^ 3) * 10)
    assert np.array_equal(out[2], np.where(lane < 28, lane + 4, lane) * 10)
    assert np.array_equal(out[3], np.where(lane >= 4, lane - 4, lane) * 10)
    assert np.array_equal(out[4], np.where(lane % 8 < 4, lane + 4, lane) * 10)
    assert (out[5] == sum(1 << int(i) for i in range(0, 31, 3))).all()
    assert (out[6] == 1).all()
    assert (out[7] == 9).all()


def test_shared_memory_is_nobodys_at_first(program):
    out = np.zeros(1, np.float32)
    run(program, "dynamic", out, block=(32, 1, 1), shared=16)
    assert np.isnan(out[0])


@pytest.mark.usefixtures("order")
def test_atomics(program):
    out = np.zeros(4, np.int32)
    run(program, "counted", out, grid=(2, 1, 1), block=(40, 1, 1))
    assert out[:2].tolist() == [80, 39]
    assert out[3] == 1


def test_a_kernel_may_have_the_name_of_a_c_function(program):
    out = np.zeros(1, np.int32)
    run(program, "link", out)
    assert out[0] == 7


@pytest.mark.parametrize(
    ("name", "block", "message"),
    [
        ("some_wait", 64, "5 of 64 threads of block .0, 0, 0. wait for ever.*barrier.*59 threads"),
        ("two_barriers", 64, "different barriers"),
        ("half_a_warp", 16, "lanes that the block doesn't have"),
        ("left_out", 32, "a lane that its own mask leaves out"),
        ("beyond", 1, "beyond the 32 bytes of dynamic shared memory"),
    ],
)
@pytest.mark.usefixtures("order")
def test_what_a_gpu_hangs_on(program, name, block, message):
    with pytest.raises(KernelError, match=message):
        run(program, name, np.zeros(64, np.int32), block=(block, 1, 1), shared=32)
    out = np.zeros(1, np.int32)
    run(program, "link", out)  # and it goes on
    assert out[0] == 7


def test_what_does_not_compile():
    with pytest.raises(CompileError, match=r"kernel\.cu:2:.*nothing"):
        Program('extern "C" __global__ void f(int *x) {\n  x[0] = nothing; }')
    with pytest.raises(CompileError, match="deleted"):
        Program('extern "C" __global__ void f(float *x) { atomicAdd(x, 1.0f); }')


def test_signatures(program):
    assert kernels(SOURCE)[:2] == ["place", "reversed"]
    assert program.types("reversed") == ("*i4", "*i4")
    odd = Program('extern "C" __global__ void f(const __half *a, unsigned long long b, bool c, '
                  "double d, void *e, float *const *g) {}")  # fmt: skip
    assert odd.types("f") == ("*f2", "u8", "b1", "f8", "*?", "**f4")


def test_half_precision():
    program = Program(HALVES)
    every = np.arange(65536, dtype=np.uint16).view(np.float16)
    wide = np.zeros(65536, np.float32)
    run(program, "up", every, wide, np.int32(65536))
    assert np.array_equal(wide, every.astype(np.float32), equal_nan=True)
    rng = np.random.default_rng(0)
    finite = every[np.isfinite(every)].astype(np.float64)
    between = np.sort(finite)
    between = (between[1:] + between[:-1]) / 2
    near = np.concatenate([between, np.nextafter(between, np.inf), np.nextafter(between, -np.inf),
                           [65519.9, 65520.0, 1e300, -1e300, 1e-300, np.inf]])  # fmt: skip
    random = rng.integers(0, 1 << 32, 100000, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        floats = np.concatenate([random, near.astype(np.float32)])
        for name, values in (("down", floats), ("down_far", near)):
            out = np.zeros(values.size, np.float16)
            run(program, name, values, out, np.int32(values.size))
            assert np.array_equal(out, values.astype(np.float16), equal_nan=True)
