"""What keeps a script from a GPU: one error each, which says what to install or do."""

from __future__ import annotations

import sys
import types

import pytest

import lucidlite
from lucidlite import backends, callsite, cli, nn
from lucidlite.backends.cupy_kernels import memory, probe
from lucidlite.commands import gpu

BROKEN = """raise ImportError('''
====
Failed to import CuPy.

Original error:
  ImportError: libcudart.so.13: no such file
====
''')
"""


@pytest.fixture
def machine(fake_cupy):  # noqa: ARG001
    """The stand-in's machine, to be changed, and put back."""
    from fakecupy.machine import machine

    yield machine
    machine.reset()


@pytest.fixture
def no_backends(monkeypatch):
    cpu_only = {k: v for k, v in backends._backends.items() if k.type == "cpu"}
    monkeypatch.setattr(backends, "_backends", cpu_only)


def everybody_says(pattern):
    """Each way to a GPU ends in the same error; questions are answered with no."""
    assert not lucidlite.cuda.is_available()
    assert lucidlite.cuda.device_count() == 0
    assert lucidlite.accelerator.current_accelerator() is None
    ways = (
        lambda: lucidlite.ones(2, device="cuda"),
        lambda: lucidlite.ones(2).cuda(),
        lambda: lucidlite.ones(2).to("cuda:0"),
        lambda: nn.Linear(2, 2).to("cuda"),
        lambda: lucidlite.utils.data.DataLoader([1, 2], device="cuda"),
        lucidlite.cuda.synchronize,
        lucidlite.cuda.current_device,
    )
    for way in ways:
        with pytest.raises(RuntimeError, match=pattern) as caught:
            way()
        assert "needs a GPU through CuPy" in str(caught.value)
        assert __file__ in str(caught.value)  # the user's line


@pytest.mark.usefixtures("no_backends")
def test_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    everybody_says(r"CuPy is not installed: pip install 'lucidlite\[cuda13\]' \(or \[cuda12\]")


@pytest.mark.usefixtures("no_backends")
@pytest.mark.parametrize("command", ["train", "eval", "predict"])
def test_the_command_line_says_it_too(command, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", None)
    options = ["x.pgm"] if command == "predict" else []
    assert cli.main([command, *options, "--device", "cuda"]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"lucidlite {command}: error: device: 'cuda' needs a GPU through CuPy.")
    assert "pip install 'lucidlite[cuda13]'" in text
    assert text.count("\n") == 1


@pytest.mark.usefixtures("no_backends")
def test_broken_cupy(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    everybody_says(r"cannot be imported \(ImportError: libcudart.so.13: no such file\): uninstall")


@pytest.mark.usefixtures("no_backends")
def test_cupy_lacks_a_package(monkeypatch, tmp_path):
    (tmp_path / "cupy.py").write_text("import cupy_backends_of_another_version\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    everybody_says("cannot be imported .*No module named 'cupy_backends_of_another_version'")


@pytest.mark.usefixtures("no_backends")
def test_old_cupy(fake_cupy, monkeypatch):
    monkeypatch.setattr(fake_cupy, "__version__", "13.6.0")
    everybody_says(r"CuPy 14 or later is needed, got 13\.6\.0: pip install")


@pytest.mark.usefixtures("no_backends")
def test_cupy_for_amd(fake_cupy, monkeypatch):
    monkeypatch.setattr(fake_cupy.cuda.runtime, "is_hip", True)
    everybody_says("built for AMD's ROCm.*uninstall it, then pip install")


@pytest.mark.usefixtures("no_backends")
def test_no_driver(machine):
    machine.driver = 0
    everybody_says("there is no NVIDIA driver.*install one.*--gpus all")


@pytest.mark.usefixtures("no_backends")
@pytest.mark.parametrize(
    ("driver", "built", "advice"),
    [
        (12040, 13000, r"serves CUDA 12\.4, and CuPy .* is built for CUDA 13\.0\. Update the "
                       r"driver, or pip install 'lucidlite\[cuda12\]' after uninstalling"),
        (11080, 12090, r"serves CUDA 11\.8, and CuPy .* is built for CUDA 12\.9\. Update the "
                       r"driver\n"),
    ],
)  # fmt: skip
def test_old_driver(machine, driver, built, advice):
    machine.driver, machine.runtime = driver, built
    everybody_says(advice)


def test_minor_versions_of_cuda_go_together(machine):
    machine.driver, machine.runtime = 13000, 13020
    assert lucidlite.cuda.is_available()


@pytest.mark.usefixtures("no_backends")
def test_no_device(fake_cupy, monkeypatch):
    def count():
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    monkeypatch.setattr(fake_cupy, "is_available", lambda: False)
    monkeypatch.setattr(fake_cupy.cuda.runtime, "getDeviceCount", count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    everybody_says(r"no CUDA device answers \(cudaErrorNoDevice.*\): nvidia-smi shows")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    everybody_says("no CUDA device answers.*CUDA_VISIBLE_DEVICES='' hides GPUs")


@pytest.mark.usefixtures("no_backends")
def test_old_gpu(machine):
    machine.capability = (6, 1)
    everybody_says(r"too old for CUDA 13, which needs compute capability 7\.5 or more, got 6\.1")
    machine.runtime = 12080
    assert lucidlite.cuda.is_available()


@pytest.mark.usefixtures("no_backends")
def test_no_compiler(fake_cupy, monkeypatch):
    def version():
        raise RuntimeError('Failure finding "libnvrtc.so.13 or libnvrtc.so.12": No such file')

    nvrtc = types.SimpleNamespace(getVersion=version)
    monkeypatch.setattr(fake_cupy.cuda, "nvrtc", nvrtc, raising=False)
    everybody_says(r"no nvrtc library, the kernels' compiler \(.*libnvrtc.*\): pip install "
                   r"'cupy-cuda13x\[ctk\]'")  # fmt: skip


@pytest.mark.usefixtures("no_backends")
def test_no_blas(fake_cupy, monkeypatch):
    others = probe.importlib.import_module

    def load(name):
        if name != f"{fake_cupy.__name__}_backends.cuda.libs.cublas":
            return others(name)
        raise ImportError("libcublas.so.13: cannot open shared object file\nlistdir(...)")

    monkeypatch.setattr(probe.importlib, "import_module", load)
    everybody_says(r"no cublas library, matrix products \(libcublas.so.13: cannot open shared "
                   r"object file\): pip install")  # fmt: skip


def test_real_cupy_without_a_driver():
    """CuPy itself, where it is installed and there is no GPU: nothing of it escapes."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if cupy.is_available():
        pytest.skip("there is a GPU")
    found, missing = probe.find_cupy()
    assert found is None
    assert "there is no NVIDIA driver" in missing


def test_no_such_device(machine):
    with pytest.raises(RuntimeError, match="ordinal, got cuda:3; there is 1 device, counted from"):
        lucidlite.ones(2, device="cuda:3")
    machine.devices = 2
    with pytest.raises(RuntimeError, match="got cuda:3; there are 2 devices"):
        lucidlite.ones(2, device="cuda:3")


@pytest.mark.usefixtures("no_backends")
@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (2, "its memory is taken by other programs"),
        (35, "update it"),
        (46, "another program has it for itself"),
        (999, "lucidlite doctor"),
    ],
)
def test_device_that_does_not_start(fake_cupy, monkeypatch, status, advice):
    class CUDARuntimeError(RuntimeError):
        def __init__(self):
            super().__init__("cudaErrorSomething: it went wrong")
            self.status = status

    def stream(**_):
        raise CUDARuntimeError

    monkeypatch.setattr(fake_cupy.cuda, "Stream", stream)
    with pytest.raises(RuntimeError, match=rf"cuda:0 does not start \(cudaErrorSome.*{advice}"):
        lucidlite.ones(2, device="cuda")


# -- out of memory ---------------------------------------------------------------------------------


def test_out_of_memory(machine):
    machine.memory = 1 << 20
    kept = lucidlite.ones(1 << 16, device="cuda")
    with pytest.raises(lucidlite.cuda.OutOfMemoryError) as caught:
        lucidlite.zeros(1 << 20, device="cuda")
    text = str(caught.value)
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, MemoryError)
    assert "CUDA out of memory: tried to allocate 4.00 MiB" in text
    assert "free of 1.00 MiB on cuda:0; tensors hold 2" in text
    assert "A smaller batch needs less" in text
    assert kept.sum().item() == 1 << 16  # and life goes on


def test_out_of_memory_in_an_operation(machine):
    x = lucidlite.ones(1 << 17, device="cuda")
    free, total = lucidlite.cuda.mem_get_info()
    machine.memory = total - free + 4096
    lucidlite.cuda.empty_cache()
    with pytest.raises(lucidlite.cuda.OutOfMemoryError, match=r"tried to allocate 512\.00 KiB"):
        x * 2


def test_out_of_memory_in_backward(machine):
    x = lucidlite.ones(1 << 16, device="cuda", requires_grad=True)
    y = (x * x).sum()
    free, total = lucidlite.cuda.mem_get_info()
    machine.memory = total - free + 4096
    lucidlite.cuda.empty_cache()
    with pytest.raises(lucidlite.cuda.OutOfMemoryError, match=r"tried to allocate 256\.00 KiB"):
        y.backward()
    machine.reset()
    (x * x).sum().backward()
    assert x.grad[0].item() == 2.0


def test_out_of_memory_under_a_limit(fake_cupy):
    pool = fake_cupy.get_default_memory_pool()
    x = lucidlite.ones(1 << 14, device="cuda")
    pool.set_limit(pool.total_bytes() + (80 << 10))
    try:
        y = x + 1
        del y  # its block stays with the pool, in a size nobody asks for
        z = lucidlite.zeros(15000, device="cuda")
        with pytest.raises(lucidlite.cuda.OutOfMemoryError, match=r"of the .* this process may"):
            lucidlite.zeros(1 << 20, device="cuda")
        assert z.sum().item() == 0
    finally:
        pool.set_limit(0)


def test_real_cupy_asks_our_allocator():
    """The hook is CuPy's public one, and it is asked from everywhere; no GPU is needed to fail."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

    class Full:
        malloc = staticmethod(lambda size: raise_(cupy.cuda.memory.OutOfMemoryError(size, 7, 0)))
        used_bytes = total_bytes = staticmethod(lambda: 5 << 20)
        get_limit = staticmethod(lambda: 0)

    runtime = types.SimpleNamespace(memGetInfo=lambda: (1 << 20, 8 << 30), getDevice=lambda: 0)
    machine = types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))
    ways = (lambda: cupy.empty((3, 1000)), lambda: cupy.ndarray(7), lambda: cupy.cuda.alloc(9))
    with cupy.cuda.using_allocator(memory.guarded(machine, Full())):
        for way in ways:
            with pytest.raises(memory.OutOfMemoryError, match=r"1\.00 MiB free of 8") as seen:
                way()
            assert f"{__file__}:" in str(seen.value)


def raise_(problem):
    raise problem


def test_the_users_line_is_not_cupys():
    """CuPy's own Python functions stand between the user and the allocator."""
    scope = {"__name__": "cupy._creation.basic", "error": callsite.error}
    exec(compile("def empty():\n    return error(RuntimeError, 'x')\n", "basic.py", "exec"), scope)
    assert f"{__file__}:" in str(scope["empty"]())
    assert "basic.py" not in str(scope["empty"]())


def test_sizes_in_words():
    assert [memory.in_words(n) for n in (0, 1023, 1024, 3 << 19, 5 << 30, 3 << 50)] == [
        "0 bytes", "1023 bytes", "1.00 KiB", "1.50 MiB", "5.00 GiB", "3072.00 TiB",
    ]  # fmt: skip


# -- doctor ----------------------------------------------------------------------------------------


def rows():
    return {title: (finding, meaning) for title, finding, meaning in gpu.findings()}


@pytest.mark.usefixtures("fake_cupy")
def test_doctor_with_a_gpu(monkeypatch):
    monkeypatch.setattr(gpu, "load_cudnn", lambda: (types.SimpleNamespace(
        backend_version=lambda: 92800), ""))  # fmt: skip
    found = rows()
    assert list(found) == ["CuPy", "driver", "GPU", "cuDNN"]
    assert "built for CUDA 13.0" in found["CuPy"][0]
    assert "serves CUDA 13.0" in found["driver"][0]
    assert "Stand-in GPU (compute capability 9.0, " in found["GPU"][0]
    assert "device='cuda' works" in found["GPU"][1]
    assert found["cuDNN"][0].startswith("9.28.0 through nvidia-cudnn-frontend")


@pytest.mark.usefixtures("fake_cupy")
def test_doctor_without_cudnn(monkeypatch):
    monkeypatch.setattr(gpu, "load_cudnn", lambda: (None, "it is not installed"))
    finding, meaning = rows()["cuDNN"]
    assert finding == "not used: it is not installed"
    assert "convolutions run as matrix products" in meaning


@pytest.mark.usefixtures("no_backends")
def test_doctor_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(gpu, "_installed", lambda _: "")
    found = rows()
    assert found["CuPy"][0] == "not installed"
    assert found["GPU"][0] == "none"
    assert "pip install 'lucidlite[cuda13]'" in found["GPU"][1]


def test_doctor_sees_an_old_driver(machine):
    machine.driver = 12040
    found = rows()
    assert "serves CUDA 12.4" in found["driver"][0]
    assert "too old for this CuPy" in found["GPU"][1]


@pytest.mark.usefixtures("fake_cupy")
def test_doctor_sees_two_cupys(monkeypatch):
    monkeypatch.setattr(gpu, "_installed", lambda name: "14.2.0" if "2x" in name else
                        "14.1.0" if "3x" in name else "")  # fmt: skip
    finding, meaning = rows()["CuPy"]
    assert finding == "several: cupy-cuda12x, cupy-cuda13x"
    assert "uninstall all" in meaning
