"""Parameters, copies, modes and conversions of modules, on lucidlite and torch."""

import copy

import pytest
from module_cases import make_affine, make_net

import lucidlite


@pytest.fixture(params=["lucidlite", "torch"])
def lib(request):
    return pytest.importorskip(request.param, reason="compares with PyTorch")


# -- parameters ------------------------------------------------------------------------------


def test_parameter(lib):
    data = lib.ones(2)
    with lib.no_grad():
        weight = lib.nn.Parameter(data)
    assert weight.requires_grad
    assert weight.is_leaf
    assert isinstance(weight, lib.Tensor)
    assert isinstance(weight, lib.nn.Parameter)
    assert not isinstance(weight * 2, lib.nn.Parameter)
    assert repr(weight) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert not lib.nn.Parameter(data, requires_grad=False).requires_grad
    assert repr(lib.nn.Parameter(data, False)) == "Parameter containing:\ntensor([1., 1.])"
    assert tuple(lib.nn.Parameter().shape) == (0,)
    data[0] = 5
    assert weight.tolist() == [5, 1]
    with pytest.raises(RuntimeError, match="floating point"):
        lib.nn.Parameter(lib.tensor([1]))
    assert lib.nn.Parameter(lib.tensor([1]), requires_grad=False).dtype == lib.int64


def test_parameter_of_a_computed_tensor_is_a_leaf(lib):
    x = lib.ones(2, requires_grad=True)
    weight = lib.nn.Parameter(x * 2)
    assert weight.is_leaf
    assert weight.grad_fn is None
    (weight * 3).sum().backward()
    assert weight.grad.tolist() == [3, 3]
    assert x.grad is None


def test_parameter_takes_a_tensor():
    lib = lucidlite
    with pytest.raises(TypeError, match="got a list"):
        lib.nn.Parameter([1.0])


def test_deepcopy_of_a_parameter(lib):
    weight = lib.nn.Parameter(lib.ones(2), requires_grad=False)
    twin, same = copy.deepcopy([weight, weight])
    assert twin is same
    assert isinstance(twin, lib.nn.Parameter)
    assert not twin.requires_grad
    with lib.no_grad():
        twin.add_(1)
    assert weight.tolist() == [1, 1]


def test_deepcopy_of_a_module(lib):
    net = make_net(lib)()
    calls = []
    net.first.register_forward_hook(lambda *_: calls.append(1))
    net.handle = net.register_forward_pre_hook(lambda *_: None)
    twin = copy.deepcopy(net)
    assert list(twin.state_dict()) == list(net.state_dict())
    assert twin.again is twin.first
    assert twin.first.weight is not net.first.weight
    twin.first(lib.ones(2))
    assert calls == [1]
    twin.handle.remove()
    assert len(net._forward_pre_hooks) == 1
    assert len(twin._forward_pre_hooks) == 0


def test_deepcopy_refuses_computed_tensors(lib):
    module = lib.nn.Module()
    module.cached = lib.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="explicitly by the user"):
        copy.deepcopy(module)


# -- mode, gradients, conversion -------------------------------------------------------------


def test_train_and_eval(lib):
    net = make_net(lib)()
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    assert net.body.train() is net.body
    assert net.body[0].training
    assert not net.first.training


def test_apply_visits_children_first(lib):
    net = make_net(lib)()
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Affine", "Affine", "Affine", "Affine", "ModuleList", "Net"]


def test_requires_grad_and_zero_grad(lib):
    module = make_affine(lib)()
    module(lib.ones(2)).sum().backward()
    grad = module.weight.grad
    module.zero_grad(set_to_none=False)
    assert module.weight.grad is grad
    assert grad.tolist() == [0, 0]
    module.zero_grad()
    assert module.weight.grad is None
    assert module.requires_grad_(False) is module
    assert not module.weight.requires_grad


def test_to_converts_floats_in_place(lib):
    module = make_affine(lib)()
    module(lib.ones(2)).sum().backward()
    weight, grad = module.weight, module.weight.grad
    assert module.double() is module
    assert module.weight is weight
    assert weight.dtype == module.offset.dtype == weight.grad.dtype == lib.float64
    assert module.calls.dtype == lib.int64
    assert weight.grad is grad
    assert weight.is_leaf
    assert weight.requires_grad
    module(lib.ones(2, dtype=lib.float64)).sum().backward()
    assert weight.grad.tolist() == [2, 2]
    assert module.half().weight.dtype == lib.float16
    assert module.float().weight.dtype == lib.float32
    assert module.to(lib.float64).weight.dtype == lib.float64
    assert module.to("cpu", lib.float32).weight.dtype == lib.float32
    assert module.to(device="cpu", dtype=lib.float64).weight.dtype == lib.float64
    assert module.to(lib.ones(1)).weight.dtype == lib.float32
    assert module.to(dtype=lib.float16, non_blocking=True).weight.dtype == lib.float16
    assert module.to(lib.device("cpu")).cpu().weight.device == lib.device("cpu")
    assert module.type(lib.float32).calls.dtype == lib.float32


def test_conversion_while_an_older_graph_lives(lib):
    module = make_affine(lib)()
    older = module(lib.ones(2))
    module.double()
    module(lib.ones(2, dtype=lib.float64)).sum().backward()
    assert module.weight.grad.dtype == lib.float64
    assert older.dtype == lib.float32


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("cpu", None, False, 1, 2), {}),
        ((), {"speed": 1}),
        (("cpu",), {"device": "cpu"}),
        (([1],), {}),
    ],
)
def test_to_refuses_other_arguments(lib, args, kwargs):
    with pytest.raises(TypeError):
        make_affine(lib)().to(*args, **kwargs)


def test_to_without_a_gpu_says_what_is_missing():
    lib = lucidlite
    if lib.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(RuntimeError, match=r"(?i)cuda|cupy"):
        make_affine(lib)().cuda()
