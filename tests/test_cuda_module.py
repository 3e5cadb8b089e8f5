"""``lucidlite.cuda`` and the precision switches: PyTorch's names for devices, memory and time."""

from __future__ import annotations

import sys
import types

import pytest

import lucidlite
from lucidlite import backends
from lucidlite.backends import cudnn

cuda_module = lucidlite.cuda


@pytest.fixture
def two(fake_cupy):
    """A machine with two GPUs."""
    from fakecupy.machine import machine

    machine.devices = 2
    yield fake_cupy
    machine.reset()


def test_names_are_pytorchs():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    ours_alone = {"DeviceProperties", "make_graphed_step"}
    assert not [name for name in cuda_module.__all__ if not hasattr(torch.cuda, name)
                and name not in ours_alone]  # fmt: skip
    assert issubclass(torch.cuda.OutOfMemoryError, RuntimeError)
    assert lucidlite.OutOfMemoryError is lucidlite.cuda.OutOfMemoryError
    assert torch.backends.cuda.matmul.allow_tf32 is backends.cuda.matmul.allow_tf32 is False
    for name in ("enabled", "benchmark", "deterministic", "allow_tf32"):
        assert getattr(torch.backends.cudnn, name) == getattr(cudnn, name), name


# -- without a GPU ---------------------------------------------------------------------------------


def test_answers_without_a_gpu(monkeypatch):
    monkeypatch.setattr(cuda_module, "find_cupy", lambda: (None, "none"))
    assert not cuda_module.is_available()
    assert not cuda_module.is_initialized()
    assert cuda_module.device_count() == 0
    assert cuda_module.memory_allocated() == cuda_module.memory_reserved() == 0
    assert cuda_module.max_memory_allocated() == cuda_module.max_memory_reserved() == 0
    cuda_module.empty_cache()
    cuda_module.reset_peak_memory_stats()
    assert not cuda_module.is_bf16_supported()
    cuda_module.manual_seed(3)
    first = lucidlite.rand(2).tolist()
    cuda_module.manual_seed_all(3)
    assert lucidlite.rand(2).tolist() == first


@pytest.mark.parametrize(
    "ask",
    [
        cuda_module.init, cuda_module.synchronize, cuda_module.current_device,
        cuda_module.mem_get_info, cuda_module.get_device_name, cuda_module.get_device_properties,
        cuda_module.get_device_capability, cuda_module.current_stream,
        cuda_module.default_stream, lambda: cuda_module.set_device(0),
        lambda: cuda_module.Event().record(), lambda: cuda_module.device(0).__enter__(),
    ],
)  # fmt: skip
def test_refusals_without_a_gpu(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    cpu_only = {k: v for k, v in backends._backends.items() if k.type == "cpu"}
    monkeypatch.setattr(backends, "_backends", cpu_only)
    with pytest.raises(RuntimeError, match="needs a GPU through CuPy"):
        ask()


# -- devices ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("two")
def test_which_device_is_current():
    cuda = cuda_module
    assert (cuda.device_count(), cuda.current_device()) == (2, 0)
    x = lucidlite.ones(2, device="cuda")
    cuda.set_device(1)
    assert cuda.current_device() == 1
    assert str(lucidlite.ones(2, device="cuda").device) == "cuda:1"
    assert str(lucidlite.ones(2).cuda().device) == "cuda:1"
    assert str(x.device) == "cuda:0"  # what is there stays there
    with cuda.device(0):
        assert cuda.current_device() == 0
        with cuda.device(None):
            assert cuda.current_device() == 0
        with cuda.device("cuda:1"):
            assert str(lucidlite.ones(1).to("cuda").device) == "cuda:1"
    assert cuda.current_device() == 1
    cuda.set_device(lucidlite.device("cuda", 0))
    assert cuda.current_device() == 0
    y = lucidlite.ones(2, device="cuda:1")
    assert x.to(y.device).device == y.device
    assert (y * 2).device == y.device
    with pytest.raises(RuntimeError, match="same device, got cuda:0 and cuda:1"):
        x + y


@pytest.mark.usefixtures("two")
def test_devices_are_checked():
    with pytest.raises(ValueError, match=r"cuda.set_device: expected a cuda device, got .*'cpu'"):
        cuda_module.set_device("cpu")
    with pytest.raises(ValueError, match=r"cuda.memory_allocated: expected a cuda device"):
        cuda_module.memory_allocated("cpu")
    with pytest.raises(RuntimeError, match="invalid device ordinal, got cuda:2"):
        cuda_module.set_device(2)
    assert cuda_module.current_device() == 0


@pytest.mark.usefixtures("two")
def test_what_a_device_is():
    found = cuda_module.get_device_properties(1)
    assert found.name == cuda_module.get_device_name("cuda:1") == "Stand-in GPU"
    assert (found.major, found.minor) == cuda_module.get_device_capability() == (9, 0)
    assert found.total_memory == cuda_module.mem_get_info()[1]
    assert (found.multi_processor_count, found.warp_size) == (132, 32)


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fake_cupy")
def test_memory_in_use():
    cuda = cuda_module
    lucidlite.ones(1, device="cuda").sum().item()  # what the backend keeps for itself
    before = cuda.memory_allocated()
    x = lucidlite.ones(1000, device="cuda")
    assert cuda.memory_allocated() - before == 4096  # in units of 512 bytes
    assert cuda.memory_reserved() >= cuda.memory_allocated()
    assert cuda.max_memory_reserved() == cuda.memory_reserved()
    assert cuda.max_memory_allocated() == cuda.memory_reserved()  # nobody has counted yet
    del x
    assert cuda.memory_allocated() == before
    assert cuda.memory_reserved() >= before + 4096  # kept for later
    cuda.empty_cache()
    assert cuda.memory_reserved() - before < 4096


@pytest.mark.usefixtures("two")
def test_peaks():
    cuda = cuda_module
    lucidlite.ones(1, device="cuda").sum().item()
    cuda.reset_peak_memory_stats()
    before = cuda.memory_allocated()
    assert cuda.max_memory_allocated() == before
    x = lucidlite.ones(1000, device="cuda")
    y = lucidlite.ones(2000, device="cuda")
    del x, y
    assert cuda.memory_allocated() == before
    assert cuda.max_memory_allocated() == before + 4096 + 8192
    lucidlite.ones(5000, device="cuda:1")
    assert cuda.max_memory_allocated(0) == before + 4096 + 8192
    cuda.reset_peak_memory_stats()
    assert cuda.max_memory_allocated() == before


@pytest.mark.usefixtures("fake_cupy")
def test_free_and_total():
    free, total = cuda_module.mem_get_info()
    x = lucidlite.ones(1 << 20, device="cuda")
    assert cuda_module.mem_get_info() == (free - (4 << 20), total)
    assert x.is_cuda


# -- streams and events ----------------------------------------------------------------------------


def test_time_between_events(cuda):
    start, end = (cuda_module.Event(enable_timing=True) for _ in range(2))
    assert start.query()  # as in CUDA: nothing to wait for
    start.synchronize()
    start.record()
    x = lucidlite.ones(10, device=cuda) * 2
    end.record()
    end.synchronize()
    assert end.query()
    assert start.elapsed_time(end) >= 0
    assert x.sum().item() == 20


def test_events_without_times(cuda):
    timed, plain = cuda_module.Event(enable_timing=True), cuda_module.Event()
    with pytest.raises(RuntimeError, match="and recorded, the start isn't"):
        timed.elapsed_time(timed)
    lucidlite.ones(1, device=cuda)
    timed.record()
    plain.record()
    with pytest.raises(ValueError, match=r"enable_timing=True.*the end isn't"):
        timed.elapsed_time(plain)
    with pytest.raises(ValueError, match="interprocess must be False"):
        cuda_module.Event(interprocess=True)


@pytest.mark.usefixtures("two")
def test_streams():
    first, second = cuda_module.current_stream(), cuda_module.current_stream(1)
    assert first == cuda_module.default_stream("cuda:0")
    assert hash(first) == hash(cuda_module.current_stream())
    assert first != second
    assert (str(first.device), str(second.device)) == ("cuda:0", "cuda:1")
    assert isinstance(first.cuda_stream, int)
    assert "device=cuda:1" in repr(second)
    x = lucidlite.ones(3, device="cuda")
    event = first.record_event()
    assert first.record_event(event) is event
    second.wait_event(event)
    second.wait_stream(first)
    first.wait_stream(first)
    first.synchronize()
    assert first.query()
    with cuda_module.stream(first), cuda_module.stream(None):
        assert (x + 1).tolist() == [2.0] * 3
    with pytest.raises(TypeError, match=r"expected a cuda.Stream or None, got int"):
        cuda_module.stream(3).__enter__()
    with pytest.raises(NotImplementedError, match=r"DataLoader\(device='cuda'\) copies"):
        cuda_module.Stream()


# -- precision -------------------------------------------------------------------------------------


@pytest.fixture
def precision():
    yield backends.cuda.matmul
    lucidlite.set_float32_matmul_precision("highest")


def test_precision_of_products(precision):
    assert (lucidlite.get_float32_matmul_precision(), precision.allow_tf32) == ("highest", False)
    for name, allowed in (("high", True), ("medium", True), ("highest", False)):
        lucidlite.set_float32_matmul_precision(name)
        assert (lucidlite.get_float32_matmul_precision(), precision.allow_tf32) == (name, allowed)
    precision.allow_tf32 = True
    assert lucidlite.get_float32_matmul_precision() == "high"
    with pytest.raises(ValueError, match="one of highest, high, medium, got precision='exact'"):
        lucidlite.set_float32_matmul_precision("exact")
    with pytest.raises(AttributeError, match="the switch is allow_tf32, got allow_tf23"):
        precision.allow_tf23 = True


def test_cudnn_switches():
    before = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    with cudnn.flags(enabled=True, benchmark=True, deterministic=True, allow_tf32=False):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, True, True)
        assert not cudnn.allow_tf32
    with cudnn.flags():
        assert (cudnn.enabled, cudnn.allow_tf32) == (False, True)
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


def test_cudnn_version(monkeypatch):
    def missing():
        raise RuntimeError("Unable to find symbol cudnnGetVersion")

    monkeypatch.setitem(sys.modules, "cudnn", None)
    assert (cudnn.version(), cudnn.is_available()) == (None, False)
    there = types.SimpleNamespace(backend_version=lambda: 92800)
    monkeypatch.setitem(sys.modules, "cudnn", there)
    assert (cudnn.version(), cudnn.is_available()) == (92800, True)
    monkeypatch.setattr(there, "backend_version", missing)
    assert (cudnn.version(), cudnn.is_available()) == (None, False)
