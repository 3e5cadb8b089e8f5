"""autocast's regions: nesting, decorators, threads, kept casts, gradients, Functions, refusals."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

import lucidlite
from lucidlite import amp, nn
from lucidlite.ops.precision import precision

F = nn.functional
HALF, SINGLE, DOUBLE = "float16", "float32", "float64"


# -- regions ---------------------------------------------------------------------------------------


def matrix(device="cpu", dtype=lucidlite.float32):
    return lucidlite.ones(2, 2, dtype=dtype, device=device)


def product(device="cpu"):
    return (matrix(device) @ matrix(device)).dtype.name


def region(enabled=True, **options):
    return lucidlite.autocast("cpu", dtype=lucidlite.float16, enabled=enabled, **options)


def test_regions_nest():
    assert product() == SINGLE
    with region():
        assert product() == HALF
        assert lucidlite.is_autocast_enabled("cpu")
        with region(enabled=False):
            assert product() == SINGLE
            assert not lucidlite.is_autocast_enabled("cpu")
            with region():
                assert product() == HALF
            assert product() == SINGLE
        assert product() == HALF
    assert product() == SINGLE
    assert not lucidlite.is_autocast_enabled("cpu")
    assert precision.active == 0


def test_a_region_may_be_entered_again():
    mode = region()
    for _ in range(2):
        with mode, mode:
            assert product() == HALF
        assert product() == SINGLE


def test_an_error_leaves_the_region():
    with pytest.raises(ZeroDivisionError), region():
        raise ZeroDivisionError
    assert product() == SINGLE
    assert precision.active == 0


def test_decorator():
    @region()
    def narrow(depth):
        """Its words."""
        return [product(), *(narrow(depth - 1) if depth else [])]

    assert narrow(2) == [HALF] * 3
    assert (narrow.__name__, narrow.__doc__) == ("narrow", "Its words.")
    assert product() == SINGLE

    class Net(nn.Module):
        @region()
        def forward(self, x):
            return x @ x

    assert Net()(matrix()).dtype is lucidlite.float16
    with pytest.raises(TypeError, match=r"autocast: a decorator takes a function.*got Tensor"):
        region()(matrix())


@pytest.mark.usefixtures("cuda")
def test_device_types_have_a_region_each():
    with lucidlite.autocast("cuda"):
        assert (product("cpu"), product("cuda")) == (SINGLE, HALF)
        with region():
            assert (product("cpu"), product("cuda")) == (HALF, HALF)
            with lucidlite.autocast("cuda", enabled=False):
                assert (product("cpu"), product("cuda")) == (HALF, SINGLE)
        assert (product("cpu"), product("cuda")) == (SINGLE, HALF)
        assert lucidlite.is_autocast_enabled()
        assert not lucidlite.is_autocast_enabled("cpu")
    assert lucidlite.get_autocast_dtype("cuda") is lucidlite.float16


def test_threads_have_their_own():
    seen = []
    with region():
        thread = threading.Thread(target=lambda: seen.append(product()))
        thread.start()
        thread.join()
        assert product() == HALF
    assert seen == [SINGLE]


def test_float64_and_integers_stay():
    with region():
        double = matrix(dtype=lucidlite.float64)
        assert (double @ double).dtype is lucidlite.float64
        whole = matrix(dtype=lucidlite.int64)
        assert (whole @ whole).dtype is lucidlite.int64
        with pytest.raises(RuntimeError, match="same dtype"):
            double @ matrix()


def test_layers_take_what_comes():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(16, 3), nn.LogSoftmax(1),
    )  # fmt: skip
    seen = []
    for layer in model:
        layer.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype.name))
    with region():
        out = model(lucidlite.rand(2, 2, 4, 4))
        loss = F.nll_loss(out, lucidlite.tensor([0, 2]))
    assert seen == [HALF] * 7  # on a CPU, softmax takes what comes
    assert loss.dtype is lucidlite.float32
    loss.backward()
    assert all(p.grad.dtype is lucidlite.float32 for p in model.parameters())
    assert model[1].running_mean.dtype is lucidlite.float32


# -- gradients -------------------------------------------------------------------------------------


def test_gradients_are_those_of_torch():
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    x, w = np.float32(np.random.default_rng(1).random((2, 4, 4)))
    found = []
    for lib in (torch, lucidlite):
        a, b = (lib.tensor(array).requires_grad_() for array in (x, w))
        with lib.autocast("cpu", dtype=lib.float16):
            out = lib.nn.functional.linear(a @ b, b).relu()
            loss = lib.nn.functional.mse_loss(out, lib.zeros(4, 4))
        loss.backward()
        assert str(a.grad.dtype) == "torch.float32"
        found.append((loss.item(), a.grad.numpy(), b.grad.numpy()))
    for expected, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, expected, rtol=4e-3)


def test_backward_in_the_region_is_the_same():
    def gradients(inside):
        x = lucidlite.rand(3, 3, generator=lucidlite.Generator().manual_seed(0)).requires_grad_()
        with region():
            loss = ((x @ x) * x).exp().prod()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        return x.grad.tolist()

    assert gradients(True) == gradients(False)
    assert precision.active == 0


def test_backward_keeps_float32_where_forward_did():
    """A product of float32 outside the region has float32 gradients though they are taken in it."""
    x = (1 + lucidlite.rand(3, 3) * 1e-4).requires_grad_()
    y = x @ x
    with region():
        (dx,) = lucidlite.autograd.grad(y.sum(), x, create_graph=True)
    expected = x.sum(0, keepdim=True) * 0 + x.sum(1) + x.sum(0).reshape(3, 1)
    np.testing.assert_allclose(dx.detach().numpy(), expected.detach().numpy(), rtol=1e-6)


# -- kept casts ------------------------------------------------------------------------------------


@pytest.fixture
def casts(monkeypatch):
    """The shapes that autocast converts."""
    from lucidlite.ops import precision as module

    seen, plain = [], module.to_dtype

    def to_dtype(input, kind):
        seen.append(tuple(input.shape))
        return plain(input, kind)

    monkeypatch.setattr(module, "to_dtype", to_dtype)
    return seen


def test_a_parameter_is_cast_once_a_region(casts):
    layer = nn.Linear(3, 3, bias=False)
    x = lucidlite.rand(2, 3).half()
    with region():
        layer(layer(x)).sum().backward()
        assert casts == [(3, 3)]
        layer(x)
        assert casts == [(3, 3)]
    with region():
        layer(x)
    assert casts == [(3, 3)] * 2
    with region(cache_enabled=False):
        layer(layer(x))
    assert casts == [(3, 3)] * 4
    assert layer.weight.grad.dtype is lucidlite.float32


def test_a_kept_cast_sees_writes(casts):
    layer = nn.Linear(1, 1, bias=False)
    x = lucidlite.ones(1, 1)
    with region():
        values = []
        for value in (1.0, 2.0):
            with lucidlite.no_grad():
                layer.weight.fill_(value)
            values.append(layer(x).item())
    assert values == [1.0, 2.0]
    assert casts.count((1, 1)) == 4


def test_a_cast_made_under_no_grad_is_no_dead_end():
    layer = nn.Linear(2, 2, bias=False)
    with region():
        with lucidlite.no_grad():
            layer(matrix())
        layer(matrix()).sum().backward()
    assert layer.weight.grad is not None


def test_the_cache_can_be_emptied(casts):
    layer = nn.Linear(2, 2, bias=False)
    x = matrix(dtype=lucidlite.float16)
    with region():
        assert lucidlite.is_autocast_cache_enabled()
        layer(x)
        lucidlite.clear_autocast_cache()
        layer(x)
        with region(cache_enabled=False):
            assert not lucidlite.is_autocast_cache_enabled()
    assert casts == [(2, 2)] * 2
    with region():
        layer(x)
        with region():
            layer(x)
        layer(x)
    assert casts == [(2, 2)] * 3


# -- Functions -------------------------------------------------------------------------------------


def make_function(**options):
    class Product(lucidlite.autograd.Function):
        seen: list = []  # noqa: RUF012

        @staticmethod
        @amp.custom_fwd(device_type="cpu", **options)
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            out = x @ w
            Product.seen.append((x.dtype.name, out.dtype.name))
            return out

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            x, w = ctx.saved_tensors
            dx = grad @ w.t()
            Product.seen.append((grad.dtype.name, dx.dtype.name))
            return dx, x.t() @ grad

    return Product


def test_function_sees_the_state_of_its_forward():
    function = make_function()
    x, w = matrix().requires_grad_(), matrix().requires_grad_()
    with region():
        out = function.apply(x, w)
    out.sum().backward()
    assert function.seen == [(SINGLE, HALF), (HALF, HALF)]
    assert x.grad.dtype is lucidlite.float32
    function.seen.clear()
    function.apply(x, w).sum().backward()
    assert function.seen == [(SINGLE, SINGLE), (SINGLE, SINGLE)]


def test_function_with_cast_inputs():
    function = make_function(cast_inputs=lucidlite.float32)
    x, w = matrix(dtype=lucidlite.float16).requires_grad_(), matrix().requires_grad_()
    with region():
        out = function.apply(x, w)
        assert out.dtype is lucidlite.float32
        out.sum().backward()
    assert function.seen == [(SINGLE, SINGLE), (SINGLE, SINGLE)]
    function.seen.clear()
    with pytest.raises(RuntimeError, match="same dtype"):
        function.apply(x, w)  # outside a region nothing is cast


def test_cast_inputs_reach_into_containers():
    class First(lucidlite.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=lucidlite.float32)
        def forward(ctx, x, others, named):
            del ctx
            kinds = [t.dtype.name for t in (x, *others, *named.values())]
            assert kinds == [SINGLE, SINGLE, "int64", DOUBLE]
            return x

    half = matrix(dtype=lucidlite.float16)
    with region():
        First.apply(half, [half, half.long()], {"a": half.double()})


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: lucidlite.autocast(lucidlite.device("cpu")), ValueError,
         "expected device_type of type str, got Device"),
        (lambda: lucidlite.autocast("tpu"), RuntimeError,
         "unsupported autocast device_type, it must be one of cuda, cpu, got device_type='tpu'"),
        (lambda: lucidlite.autocast("cpu"), RuntimeError, "bfloat16, which is not there"),
        (lambda: lucidlite.autocast("cpu", dtype=lucidlite.float64), RuntimeError,
         "dtype must be float16, got dtype=torch.float64"),
        (lambda: amp.custom_fwd(device_type=1), ValueError, "expected device_type of type str"),
        (lambda: amp.custom_bwd(device_type="x"), RuntimeError, "device_type='x'"),
        (lambda: lucidlite.get_autocast_dtype("x"), RuntimeError, "device_type='x'"),
    ],
)  # fmt: skip
def test_what_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_availability():
    assert amp.is_autocast_available("cpu")
    assert amp.is_autocast_available("cuda")
    assert not amp.is_autocast_available("tpu")


def test_a_cpu_region_may_be_disabled_without_a_dtype():
    with lucidlite.autocast("cpu", enabled=False):
        assert product() == SINGLE


def test_without_a_gpu_it_warns_and_does_nothing(monkeypatch):
    from lucidlite.amp import autocast_mode

    monkeypatch.setattr(autocast_mode, "gpu_answers", lambda: False)
    with pytest.warns(UserWarning, match="autocast: no GPU answers"):
        mode = lucidlite.autocast("cuda")
    with mode:
        assert not lucidlite.is_autocast_enabled("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with lucidlite.autocast("cuda", enabled=False):
            assert product() == SINGLE


def test_the_older_names(cuda):
    from lucidlite.cuda.amp import GradScaler, autocast, custom_bwd, custom_fwd

    x = lucidlite.ones(2, 3, device=cuda)
    with autocast():
        assert (x @ x.T).dtype is lucidlite.float16
    with autocast(enabled=False):
        assert (x @ x.T).dtype is lucidlite.float32
    assert GradScaler(4.0).scale(x.sum()).item() == 24.0
    assert lucidlite.cuda.amp.autocast is autocast

    class Double(lucidlite.autograd.Function):
        @staticmethod
        @custom_fwd(cast_inputs=lucidlite.float32)
        def forward(_ctx, x):
            return x * 2

        @staticmethod
        @custom_bwd
        def backward(_ctx, grad):
            return grad * 2

    half = x.half().requires_grad_()
    with autocast():
        out = Double.apply(half)
    assert out.dtype is lucidlite.float32
    out.sum().backward()
    assert half.grad.tolist() == [[2.0] * 3] * 2
