"""Memory, streams and graphs of the stand-in for CuPy: what they count, follow and refuse."""

from __future__ import annotations

import gc

import fakecupy as cupy
import fakecupyx
import numpy as np
import pytest
from cudasim import why_not
from fakecupy.errors import CUDARuntimeError, OutOfMemoryError, StandInError

needs_compiler = pytest.mark.skipif(bool(why_not()), reason=why_not() or "g++ is here")

KERNEL = r"""
extern "C" __global__ void add(const float *x, float *y, int n, float by) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = x[i] + by;
}
extern "C" __global__ void too_far(float *y, int n) { y[n] = 1; }
"""


@pytest.fixture(autouse=True)
def fresh():
    cupy.reset()
    yield
    cupy.reset()


def add():
    return cupy.RawModule(code=KERNEL, options=("--std=c++17",)).get_function("add")


def graph_of(stream, work):
    pool = cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        result = work()
        return stream.end_capture(), result, pool


# -- counts ----------------------------------------------------------------------------------------


def test_counts():
    with cupy.counted() as seen:
        x = cupy.asarray(np.ones((2, 3), np.float32))
        y = (x + 1) * x
        y += 1
        y.reshape(3, 2).T.fill(2)
        total = y.sum()
    assert seen == {"launch": 5, "h2d": 1, "d2h": 0, "sync": 0}
    with cupy.counted() as seen:
        float(total), y.get(), cupy.nonzero(y)
        cupy.cuda.Device().synchronize()
    assert seen == {"launch": 1, "h2d": 0, "d2h": 1, "sync": 4}


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: float(x[0]),
        lambda x: x[0].item(),
        lambda x: bool(x[0] > 1),
        lambda x: x.get(),
        lambda x: x[x > 0],
        lambda x: cupy.where(x > 0),
        lambda x: repr(x),
        lambda _: cupy.cuda.get_current_stream().synchronize(),
        lambda _: cupy.cuda.runtime.deviceSynchronize(),
    ],
)
def test_no_sync(wait):
    x = cupy.zeros(3)
    with pytest.raises(AssertionError, match="waits for the device"), cupy.no_sync():
        wait(x)
    wait(x)


# -- kernels ---------------------------------------------------------------------------------------


@needs_compiler
def test_arguments_of_kernels():
    x, y = cupy.zeros(4, np.float32), cupy.empty(4, np.float32)
    kernel = add()
    kernel((1,), (32,), (x, y, np.int32(4), np.float32(2)))
    assert y.get().tolist() == [2] * 4
    good = [x, y, np.int32(4), np.float32(2)]
    for place, value, kind, said in (
        (0, x.get(), TypeError, "argument 0 is a pointer, got <class 'numpy.ndarray'>"),
        (0, x.astype(np.float64), TypeError, r"declared \*f4, got an array of float64"),
        (0, cupy.zeros((4, 4), np.float32).T[1:], ValueError, "not C-contiguous"),
        (2, 4, TypeError, "must be a NumPy scalar of i4, got <class 'int'>"),
        (2, np.int64(4), TypeError, "declared i4, got int64"),
        (3, np.float64(2), TypeError, "declared f4, got float64"),
    ):
        with pytest.raises(kind, match=said):
            kernel((1,), (32,), tuple(value if i == place else g for i, g in enumerate(good)))
    with pytest.raises(TypeError, match="4 parameters, got 3"):
        kernel((1,), (32,), tuple(good[:3]))
    for grid, block in (((1,), (1025,)), ((1, 70000), (32,)), ((0,), (32,)), ((1,), (32, 64))):
        with pytest.raises(RuntimeError, match="CUDA_ERROR_INVALID_VALUE"):
            kernel(grid, block, tuple(good))
    with pytest.raises(RuntimeError, match="CUDA_ERROR_NOT_FOUND"):
        cupy.RawModule(code=KERNEL).get_function("nothing")


@needs_compiler
def test_writing_beside_an_array_is_found():
    x = cupy.zeros(5, np.float32)
    kernel = cupy.RawModule(code=KERNEL).get_function("too_far")
    with pytest.raises(StandInError, match="beside an array of 20 bytes"):
        kernel((1,), (1,), (x, np.int32(5)))


# -- memory ----------------------------------------------------------------------------------------


def test_the_pool():
    pool = cupy.get_default_memory_pool()
    x = cupy.empty((10, 10), np.float64)
    seen = x.reshape(-1)[3:]
    assert (pool.used_bytes(), pool.total_bytes()) == (1024, 1024)
    assert x.data.ptr % 512 == 0
    assert seen.data.ptr == x.data.ptr + 24
    place = x.data.ptr
    del x
    assert pool.used_bytes() == 1024  # a view holds it
    del seen
    gc.collect()
    assert (pool.used_bytes(), pool.free_bytes(), pool.n_free_blocks()) == (0, 1024, 1)
    again = cupy.empty(128)
    assert again.data.ptr == place
    assert np.isnan(again.get()).all()
    del again
    pool.free_all_blocks()
    assert pool.total_bytes() == 0
    assert cupy.empty(0).data.ptr == 0


def test_out_of_memory():
    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=4096)
    kept = cupy.zeros(256)
    with pytest.raises(OutOfMemoryError, match=r"allocating 4,096 bytes \(allocated so far: 2,048 "
                                               r"bytes, limit set to: 4,096 bytes\)"):  # fmt: skip
        cupy.zeros(512)
    pool.set_limit(size=0)
    free, total = cupy.cuda.runtime.memGetInfo()
    cupy.machine.memory = total - free + 6144  # other tests may have left something
    with pytest.raises(OutOfMemoryError, match=r"allocated so far: 2,048 bytes\)\.$"):
        cupy.zeros(1024)
    assert cupy.cuda.runtime.memGetInfo() == (6144, total - free + 6144)
    assert kept.nbytes == 2048


def test_devices():
    with pytest.raises(CUDARuntimeError, match="cudaErrorInvalidDevice"):
        cupy.cuda.Device(1)
    cupy.machine.devices = 2
    x = cupy.ones(3)
    with cupy.cuda.Device(1):
        with pytest.raises(ValueError, match="array device = 0 while current = 1"):
            x + 1
        y = cupy.asarray(x)
        assert (y.device.id, cupy.cuda.runtime.getDevice()) == (1, 1)
        stream = cupy.cuda.Stream()
    with pytest.raises(RuntimeError, match="does not match with the current device"):
        stream.use()
    assert cupy.cuda.runtime.getDevice() == 0


# -- pinned memory ---------------------------------------------------------------------------------


def test_pinned_memory_is_copied_from_later():
    host, stream = fakecupyx.empty_pinned(4), cupy.cuda.Stream(non_blocking=True)
    with stream:
        x = cupy.zeros(4)
    host[:] = 1
    x.set(host, stream=stream)
    stream.record().synchronize()
    host[:] = 2  # allowed: the copy has ended
    x.set(host, stream=stream)
    host[:] = 3
    with pytest.raises(StandInError, match="before the copy from it had ended"):
        stream.synchronize()


def test_pinned_memory_is_copied_to_later():
    x, host = cupy.ones(4), fakecupyx.zeros_pinned(4)
    cupy.asnumpy(x, out=host, blocking=False)
    assert np.isnan(host).all()
    cupy.cuda.get_current_stream().synchronize()
    assert host.tolist() == [1] * 4


# -- the order between streams ---------------------------------------------------------------------


def test_streams_without_an_order():
    cupy.machine.races = True
    copies, work = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    host = np.ones(4)

    def batch():
        with copies:
            x = cupy.empty(4)
            x.set(host)
            return x, copies.record()

    x, ready = batch()
    with work:
        with pytest.raises(StandInError, match=r"reads an array that stream .* has written"):
            x + 1
        work.wait_event(ready)
        y = x + 1
    with pytest.raises(StandInError, match=r"writes an array that stream .* has read"):
        x.set(host, stream=copies)
    place = x.data.ptr
    del x
    with copies, pytest.raises(StandInError, match=r"writes an array that stream .* has read"):
        cupy.empty(4)  # what was freed here is still read there
    copies.wait_event(work.record())
    x, ready = batch()
    assert x.data.ptr != 0 != place
    ready.synchronize()  # the host has waited: what it issues from now on comes later
    with work:
        assert (x + y).get().tolist() == [3] * 4


# -- graphs ----------------------------------------------------------------------------------------


@needs_compiler
def test_a_graph_runs_what_was_captured():
    stream, kernel = cupy.cuda.Stream(non_blocking=True), add()
    x = cupy.zeros(3, np.float32)

    def work():
        y = x * 2
        z = cupy.empty_like(y)
        kernel((1,), (32,), (y, z, np.int32(3), np.float32(1)))
        z += x
        x.fill(5)
        return z

    with cupy.counted() as seen:
        graph, result, _pool = graph_of(stream, work)
    assert np.isnan(result.get()).all()  # nothing has run
    assert x.get().tolist() == [0] * 3
    x[1] = 7
    with cupy.counted() as seen:
        graph.launch(stream)
    assert seen["launch"] == 1
    assert result.get().tolist() == [1, 22, 1]
    graph.launch()
    assert result.get().tolist() == [16] * 3


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda x: cupy.matmul(x, x), "cuBLAS API during stream capture"),
        (lambda x: x @ x, "cuBLAS API during stream capture"),
        (lambda x: cupy.tensordot(x, x, 1), "cuBLAS API during stream capture"),
        (lambda x: x.get(), "synchronous API calls are disallowed"),
        (lambda x: x.sum().item(), "synchronous API calls are disallowed"),
        (lambda x: x[x > 0], "synchronous API calls are disallowed"),
        (lambda _: cupy.asarray(np.ones(3)), "synchronous API calls are disallowed"),
        (lambda _: cupy.cuda.get_current_stream().synchronize(), "cudaErrorStreamCaptureUnsupp"),
        (lambda _: cupy.cuda.Device().synchronize(), "cudaErrorStreamCaptureUnsupported"),
        (lambda _: cupy.cuda.get_current_stream().done, "cudaErrorStreamCaptureUnsupported"),
    ],
)
def test_what_a_capture_refuses(work, said):
    stream, x = cupy.cuda.Stream(non_blocking=True), cupy.ones((2, 2))
    with pytest.raises((RuntimeError, NotImplementedError), match=said):
        graph_of(stream, lambda: work(x))
    if "cuBLAS" not in said:
        with pytest.raises(CUDARuntimeError, match="StreamCaptureInvalidated"):
            stream.end_capture()
    else:
        stream.end_capture()
    assert (x + 1).get().tolist() == [[2, 2], [2, 2]]


def test_a_capture_has_a_pool_of_its_own():
    stream, x = cupy.cuda.Stream(non_blocking=True), cupy.ones(2)
    with stream:
        stream.begin_capture()
        with pytest.raises(StandInError, match="memory from the default pool"):
            x + 1
        stream.end_capture()


def test_where_a_capture_cannot_begin():
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cupy.cuda.Stream.null.begin_capture()
    with pytest.raises(CUDARuntimeError, match="invalid argument"):
        cupy.cuda.Stream().end_capture()
    with pytest.raises(NotImplementedError, match="via stream capture"):
        cupy.cuda.Graph()


def test_fork_and_join():
    one, two = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    x = cupy.zeros(2)

    def fork(join):
        two.wait_event(one.record())
        with two:
            x.fill(3)
        if join:
            one.wait_event(two.record())

    graph, _, _pool = graph_of(one, lambda: fork(True))
    assert x.get().tolist() == [0, 0]
    graph.launch()
    assert x.get().tolist() == [3, 3]
    with pytest.raises(CUDARuntimeError, match="unjoined work"):
        graph_of(one, lambda: fork(False))
