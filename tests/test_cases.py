"""Every row of cases.py: parity with PyTorch, numerical derivatives, memory orders."""

from __future__ import annotations

import inspect
import os
from functools import reduce

import numpy as np
import pytest
from case_kinds import (
    differentiable,
    memory_orders,
    same,
    tensors_of,
    upstream,
)
from cases import CASES

import lucidlite
from lucidlite.autograd import backward, gradcheck, gradgradcheck
from lucidlite.nn import functional

ALL = os.environ.get("LUCIDLITE_TEST_ALL") == "1"

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)


def chosen(keep):
    return pytest.mark.parametrize("case", [c for c in CASES if keep(c)], ids=lambda case: case.id)


def floating(case):
    return [d for d in case.dtypes if "float" in d]


def torch_gradients(torch, case, result, inputs):
    """The .grad of the inputs after backward from a random gradient of each output."""
    outputs = differentiable(result)
    grads = [torch.tensor(np.array(g)) for g in upstream(case, outputs)]
    torch.autograd.backward(outputs, grads)
    return [t.grad for t in inputs]


def our_gradients(case, result, inputs, order=""):
    """The same here; ``order`` names a memory order for the gradients that come in."""
    outputs = differentiable(result)
    assert outputs, "no output requires grad"
    grads = [memory_orders(g).get(order, g) for g in upstream(case, outputs)]
    backward(outputs, [lucidlite.from_numpy(g) for g in grads])
    return [t.grad for t in inputs]


@chosen(lambda case: not case.parity)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_values(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for dtype in case.dtypes:
        arrays = case.arrays(dtype)
        expected = case.run(torch, case.torchs(torch, arrays))
        got = case.run(lucidlite, case.ours(arrays))
        same(got, expected, dtype, case.tol, dtype)
        for a, b in zip(tensors_of(got), tensors_of(expected), strict=True):
            assert a.requires_grad == b.requires_grad, dtype


@chosen(
    lambda case: case.call is None and case.path != "where" and hasattr(lucidlite.Tensor, case.path)
)
def test_method_is_the_function(case):
    """``x.op(...)`` gives what ``lucidlite.op(x, ...)`` gives, where both exist."""
    method = getattr(lucidlite.Tensor, case.path)
    inputs = case.ours(case.arrays(case.dtypes[0]), grad=False)
    expected = case.run(lucidlite, inputs)
    same(method(*inputs, *case.args, **case.kwargs), expected, case.dtypes[0], 0)


@chosen(lambda case: case.grad and not case.parity and not case.torch_grad)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_gradients(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    for dtype in floating(case):
        arrays = case.arrays(dtype)
        inputs, ours = case.torchs(torch, arrays), case.ours(arrays)
        expected = torch_gradients(torch, case, case.run(torch, inputs), inputs)
        got = our_gradients(case, case.run(lucidlite, ours), ours)
        same(got, expected, dtype, case.tol, f"{dtype} gradient")


@chosen(lambda case: case.grad and case.numeric)
def test_gradcheck(case):
    inputs = case.ours(case.arrays("float64"))
    assert gradcheck(lambda *x: case.run(lucidlite, list(x)), inputs)


@chosen(lambda case: case.grad and case.numeric and not case.second)
def test_gradgradcheck(case):
    inputs = case.ours(case.arrays("float64"))
    assert gradgradcheck(lambda *x: case.run(lucidlite, list(x)), inputs)


@chosen(lambda case: case.grad and not case.parity and not case.node)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_grad_fn_name(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    arrays = case.arrays("float32")
    expected = case.run(torch, case.torchs(torch, arrays))
    got = case.run(lucidlite, case.ours(arrays))
    for a, b in zip(differentiable(got), differentiable(expected), strict=True):
        assert type(a.grad_fn).__name__ == type(b.grad_fn).__name__


@chosen(lambda case: case.layouts and any(len(i.shape) > 0 for i in case.inputs))
def test_memory_orders(case):
    """Values and gradients are the same in every memory order, all inputs read-only."""
    dtype = floating(case)[-1] if floating(case) else case.dtypes[0]
    arrays = case.arrays(dtype)
    plain = case.ours(arrays)
    expected = case.run(lucidlite, plain)
    wanted = our_gradients(case, expected, plain) if case.grad else []
    orders = [memory_orders(array) for array in arrays]
    names = sorted({name for order in orders for name in order})
    for name in names:
        inputs = case.ours([o.get(name, a) for o, a in zip(orders, arrays, strict=True)])
        got = case.run(lucidlite, inputs)
        same(got, expected, dtype, max(case.tol, 1), name)
        if case.grad:
            found = our_gradients(case, got, inputs, name)
            same(found, wanted, dtype, max(case.tol, 1), f"{name} gradient")


@every_case
def test_inputs_are_not_written(case):
    """An operation leaves its inputs as they were, versions included."""
    arrays = case.arrays(case.dtypes[0])
    before = [array.copy() for array in arrays]
    inputs = case.ours(arrays)
    result = case.run(lucidlite, inputs)
    if case.grad and case.dtypes[0] in ("float32", "float64"):
        our_gradients(case, result, inputs)
    for array, copy, tensor in zip(arrays, before, inputs, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert tensor._version == 0


@chosen(lambda case: case.grad)
def test_gradient_has_the_dtype_and_order_of_its_leaf(case):
    for dtype in floating(case):
        inputs = case.ours(case.arrays(dtype))
        our_gradients(case, case.run(lucidlite, inputs), inputs)
        for tensor in inputs:
            if tensor.grad is not None:
                assert tensor.grad.dtype is tensor.dtype
                assert tensor.grad.is_contiguous()
                assert not tensor.grad.requires_grad


@every_case
def test_no_graph_without_need(case):
    arrays = case.arrays(case.dtypes[0])
    with lucidlite.no_grad():
        inputs = case.ours(arrays)
        results = tensors_of(case.run(lucidlite, inputs))
    made = [t for t in results if not any(t is given for given in inputs)]
    assert all(t.grad_fn is None and not t.requires_grad for t in made)
    result = case.run(lucidlite, case.ours(arrays, grad=False))
    assert all(t.grad_fn is None and not t.requires_grad for t in tensors_of(result))


# -- nothing is left out ---------------------------------------------------------------------------

# Public callables without a row: where they are tested, or why they aren't here.
WITHOUT_ROW = {
    "takes numbers: test_creation.py": """
        arange as_tensor empty eye from_numpy full linspace normal ones rand randint randn randperm
        tensor zeros logspace tril_indices triu_indices scalar_tensor
    """,
    "takes no tensor to compute with": """
        are_deterministic_algorithms_enabled use_deterministic_algorithms
        get_default_dtype get_printoptions get_rng_state initial_seed is_grad_enabled
        is_inference_mode_enabled manual_seed printoptions promote_types seed set_default_dtype
        set_printoptions set_rng_state load save get_num_threads set_num_threads
        get_default_device set_default_device
        get_float32_matmul_precision set_float32_matmul_precision
        can_cast broadcast_shapes
    """,
    "test_interop.py": "asarray from_dlpack",
    "test_compatibility.py": "Tensor.__getattr__",
    "test_autograd.py": """
        Tensor.backward Tensor.detach_ Tensor.retain_grad Tensor.register_hook
        Tensor.register_post_accumulate_grad_hook Tensor.requires_grad_
    """,
    "test_autocast.py": """
        clear_autocast_cache get_autocast_dtype is_autocast_cache_enabled is_autocast_enabled
    """,
    "lucidlite's own": "Tensor.version_cell Tensor.bump_version",
    "test_summary.py": "summary",
    "test_watch.py": "watch",
    "test_backward_steps.py": "Tensor.backward_steps",
    "test_cuda.py": "Tensor.cuda Tensor.get_device Tensor.pin_memory Tensor.is_pinned",
    "test_printing.py": "Tensor.__format__ Tensor.__repr__",
    "test_tensor.py": "Tensor.__reduce_ex__",
    "test_layout.py": "Tensor.data_ptr",
    "test_weight_memo.py": "Tensor.__dlpack__ Tensor.__dlpack_device__",
}
ELSEWHERE = {path for paths in WITHOUT_ROW.values() for path in paths.split()}

# Of the special methods, those that stand for an operation or a conversion.
SPECIAL = {name for name in vars(lucidlite.Tensor) if name.startswith("__")} - {
    "__module__", "__doc__", "__init__", "__array_ufunc__", "__array_priority__", "__dict__",
    "__weakref__", "__init_subclass__", "__class__", "__annotations__", "__firstlineno__",
    "__static_attributes__",
}  # fmt: skip


def public_callables():
    for name in dir(lucidlite):  # those too that load on first access
        value = getattr(lucidlite, name)
        method = getattr(lucidlite.Tensor, name, None) is value  # relu_ and its like
        if not name.startswith("_") and inspect.isfunction(value) and not method:
            yield name
    for name in dir(lucidlite.Tensor):
        special = name in SPECIAL
        if (special or not name.startswith("_")) and inspect.isfunction(
            inspect.getattr_static(lucidlite.Tensor, name)
        ):
            yield f"Tensor.{name}"
    for name in functional.__all__:
        yield f"nn.functional.{name}"


def resolve(path):
    return reduce(getattr, path.split("."), lucidlite)


def test_every_callable_has_a_row():
    paths = {case.path for case in CASES}
    functions = {resolve(path) for path in paths if "Tensor" not in path}
    by_method_test = {case.path for case in CASES if case.call is None and "." not in case.path}
    missing = [
        path
        for path in public_callables()
        if path not in paths
        and path not in ELSEWHERE
        and not (path.startswith("Tensor.") and path.removeprefix("Tensor.") in by_method_test)
        and not ("Tensor" not in path and resolve(path) in functions)
    ]
    assert not missing, f"no row in cases.py for {missing}"


def test_lists_name_what_exists():
    known = set(public_callables())
    assert {path for path in ELSEWHERE if path.startswith("Tensor.")} <= known
    rows = {case.path for case in CASES}
    assert not rows & ELSEWHERE
