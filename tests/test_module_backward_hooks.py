"""Full backward hooks of modules, on lucidlite and, where it is installed, on torch."""

import gc
import weakref
from collections import namedtuple

import numpy as np
import pytest
from module_cases import make_scale

import lucidlite


@pytest.fixture(params=["lucidlite", "torch"])
def lib(request):
    return pytest.importorskip(request.param, reason="compares with PyTorch")


def values(grads):
    return tuple(None if g is None else g.tolist() for g in grads)


def test_full_backward_hook_sees_gradients(lib):
    module = make_scale(lib)()
    log = []
    module.register_full_backward_hook(
        lambda m, grad_in, grad_out: log.append((m, values(grad_in), values(grad_out)))
    )
    x = lib.ones(2, requires_grad=True)
    (module(x) * 3).sum().backward()
    assert log == [(module, ([6, 6],), ([3, 3],))]
    assert x.grad.tolist() == [6, 6]
    assert module.weight.grad.tolist() == [3, 3]


def test_full_backward_hooks_change_gradients(lib):
    module = make_scale(lib)()
    module.register_full_backward_pre_hook(lambda _m, grad_out: (grad_out[0] * 10,))
    module.register_full_backward_hook(lambda _m, grad_in, grad_out: (grad_in[0] + grad_out[0],))
    module.register_full_backward_hook(lambda _m, _grad_in, _grad_out: None)
    x = lib.ones(2, requires_grad=True)
    module(x).sum().backward()
    assert module.weight.grad.tolist() == [10, 10]
    assert x.grad.tolist() == [30, 30]


def test_order_of_backward_hooks(lib):
    model = lib.nn.Sequential(make_scale(lib)(), make_scale(lib)())
    log = []
    for name, module in (("top", model), ("0", model[0]), ("1", model[1])):
        module.register_full_backward_pre_hook(lambda *_, n=name: log.append(f"pre {n}"))
        module.register_full_backward_hook(lambda *_, n=name: log.append(f"post {n}"))
        module.register_full_backward_pre_hook(
            lambda *_, n=name: log.append(f"first {n}"), prepend=True
        )
    model(lib.ones(2, requires_grad=True)).sum().backward()
    assert log == [
        "first top", "pre top", "first 1", "pre 1", "post 1", "first 0", "pre 0", "post 0",
        "post top",
    ]  # fmt: skip


def test_several_inputs_and_outputs(lib):
    module = make_scale(lib)()
    log = []
    module.register_full_backward_hook(lambda _m, i, o: log.append((values(i), values(o))))
    x, y = lib.ones(2, requires_grad=True), lib.ones(2)
    first, second = module(x, y)
    first.sum().backward()
    assert log == [(([2, 2], [0, 0]), ([1, 1], None))]
    log.clear()
    first, second = module(x, y)
    (first + second * 2).sum().backward()
    assert log == [(([2, 2], [0, 0]), ([1, 1], [2, 2]))]
    assert y.grad is None


def test_an_unused_input_has_zero_gradient(lib):
    class First(lib.nn.Module):
        def forward(self, a, _b):
            return a * 2

    module = First()
    log = []
    module.register_full_backward_hook(lambda _m, i, _o: log.append(values(i)))
    x, y = lib.ones(2, requires_grad=True), lib.ones(2, requires_grad=True)
    module(x, y).sum().backward()
    assert log == [([2, 2], [0, 0])]
    assert y.grad.tolist() == [0, 0]


@pytest.mark.parametrize("inputs", [0, 1])
def test_without_inputs_that_require_grad_the_hook_fires_at_the_outputs(lib, inputs):
    module = make_scale(lib)()
    log = []
    module.register_full_backward_hook(lambda _m, i, o: log.append((values(i), values(o))))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        module(*[lib.ones(2)] * inputs).sum().backward()
    assert log == [((None,) * inputs, ([1, 1],))]
    assert module.weight.grad.tolist() == [1, 1]
    module.register_full_backward_hook(lambda _m, _i, o: (o[0],))
    with (
        pytest.warns(UserWarning, match="no inputs require gradients"),
        pytest.raises(RuntimeError, match="should always return None"),
    ):
        module(*[lib.ones(2)] * inputs).sum().backward()


def test_named_tuples_keep_their_class(lib):
    Pair = namedtuple("Pair", ["left", "right"])

    class Split(lib.nn.Module):
        def forward(self, x):
            return Pair(x * 2, x * 3)

    module = Split()
    module.register_full_backward_hook(lambda *_: None)
    out = module(lib.ones(2, requires_grad=True))
    assert type(out) is Pair
    assert out.right.tolist() == [3, 3]


def test_other_outputs_are_left_alone_with_a_warning(lib):
    class ToDict(lib.nn.Module):
        def forward(self, x):
            return {"y": x * 2}

    module = ToDict()
    log = []
    module.register_full_backward_hook(lambda *_: log.append(1))
    x = lib.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple of Tensors"):
        out = module(x)
    out["y"].sum().backward()
    assert log == []
    assert x.grad.tolist() == [2, 2]


@pytest.mark.parametrize("kind", ["hook", "pre hook"])
def test_hooks_must_return_as_many_gradients(lib, kind):
    module = make_scale(lib)()
    if kind == "hook":
        module.register_full_backward_hook(lambda _m, i, _o: (i[0], i[0]))
    else:
        module.register_full_backward_pre_hook(lambda _m, o: (o[0], o[0]))
    out = module(lib.ones(2, requires_grad=True))
    with pytest.raises(RuntimeError, match=f"Backward {kind} returned an invalid number of grad_"):
        out.sum().backward()


def test_no_graph_no_backward_hook(lib):
    module = make_scale(lib)()
    module.register_full_backward_hook(lambda *_: None)
    x = lib.ones(2, requires_grad=True)
    with lib.no_grad():
        out = module(x)
    assert out.grad_fn is None
    assert out.tolist() == [2, 2]


def test_in_place_on_hooked_tensors_is_refused(lib):
    class InPlace(lib.nn.Module):
        def forward(self, x):
            return x.mul_(2)

    module = InPlace()
    module.register_full_backward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match=r"(?i)in-?place"):
        module(lib.ones(2, requires_grad=True) * 1)
    outer = make_scale(lib)()
    outer.register_full_backward_hook(lambda *_: None)
    out = outer(lib.ones(2, requires_grad=True))
    with pytest.raises(RuntimeError, match=r"(?i)in-?place"):
        out.add_(1)


def test_hooks_run_again_with_retain_graph_and_in_autograd_grad(lib):
    module = make_scale(lib)()
    log = []
    module.register_full_backward_hook(lambda _m, i, _o: log.append(values(i)))
    x = lib.ones(2, requires_grad=True)
    loss = module(x).sum()
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    (grad,) = lib.autograd.grad(loss, x)
    assert grad.tolist() == [2, 2]
    assert log == [([2, 2],)] * 3


def test_second_order_through_hooks(lib):
    class Cube(lib.nn.Module):
        def forward(self, x):
            return x * x * x

    module = Cube()
    module.register_full_backward_hook(lambda _m, i, _o: (i[0] * 2,))
    x = lib.tensor([2.0], requires_grad=True)
    (grad,) = lib.autograd.grad(module(x).sum(), x, create_graph=True)
    assert grad.item() == 24
    (second,) = lib.autograd.grad(grad.sum(), x)
    assert second.item() == 24


def test_the_graph_of_a_hooked_call_is_freed_without_the_collector():
    lib = lucidlite
    module = make_scale(lib)()
    module.register_full_backward_hook(lambda *_: None)
    gc.disable()
    try:
        x = lib.ones(2, requires_grad=True)
        out = module(x)
        node = weakref.ref(out.grad_fn)
        out.sum().backward()
        del out
        assert node() is None
    finally:
        gc.enable()


def make_cnn(lib):
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def trace(lib, model, x):
    """Run the model forward and backward; returns what its hooks saw, in order."""
    log = []
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda _m, _args, out, n=name: log.append((f"forward {n}", [out.tolist()]))
        )
        module.register_full_backward_hook(
            lambda _m, i, o, n=name: log.append((f"backward {n}", [*values(i), *values(o)]))
        )
    x = lib.tensor(x.tolist(), requires_grad=True)
    (model(x) ** 2).sum().backward()
    log.append(("input", [x.grad.tolist()]))
    log.extend((name, [p.grad.tolist()]) for name, p in model.named_parameters())
    return log


def test_hooks_of_a_cnn_agree_with_torch():
    torch, lib = pytest.importorskip("torch", reason="compares with PyTorch"), lucidlite
    reference, model = make_cnn(torch), make_cnn(lib)
    state = {name: lib.tensor(value.tolist()) for name, value in reference.state_dict().items()}
    model.load_state_dict(state)
    x = np.random.default_rng(0).standard_normal((6, 3, 12, 12)).astype(np.float32)
    expected, found = trace(torch, reference, x), trace(lib, model, x)
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (name, theirs), (_, ours) in zip(expected, found, strict=True):
        for a, b in zip(theirs, ours, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4, err_msg=name)
