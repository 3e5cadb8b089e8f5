"""Forward hooks of modules, on lucidlite and, where it is installed, on torch."""

import gc
import weakref
from collections import OrderedDict

import pytest
from module_cases import make_scale

import lucidlite


@pytest.fixture(params=["lucidlite", "torch"])
def lib(request):
    return pytest.importorskip(request.param, reason="compares with PyTorch")


def test_order_of_forward_hooks(lib):
    module = make_scale(lib)()
    log = []
    module.register_forward_pre_hook(lambda *_: log.append("pre 1"))
    module.register_forward_pre_hook(lambda *_: log.append("pre 0"), prepend=True)
    module.register_forward_hook(lambda *_: log.append("post 1"))
    module.register_forward_hook(lambda *_: log.append("post 2"))
    module.register_forward_hook(lambda *_: log.append("post 0"), prepend=True)
    module(lib.ones(2))
    assert log == ["pre 0", "pre 1", "post 0", "post 1", "post 2"]
    module.forward(lib.ones(2))
    assert len(log) == 5


def test_forward_hooks_replace_inputs_and_outputs(lib):
    module = make_scale(lib)()
    module.register_forward_pre_hook(lambda _m, args: args[0] + 1)
    module.register_forward_pre_hook(lambda _m, args: (args[0] * 10,))
    module.register_forward_hook(lambda _m, args, output: output + args[0])
    assert module(lib.ones(2)).tolist() == [60, 60]


def test_hooks_with_kwargs(lib):
    module = make_scale(lib)()
    seen = []
    pre = module.register_forward_pre_hook(
        lambda _m, args, kwargs: (args, {"times": kwargs["times"] + 1}), with_kwargs=True
    )
    module.register_forward_hook(
        lambda _m, _args, kwargs, _output: seen.append(kwargs), with_kwargs=True
    )
    assert module(lib.ones(2), times=2).tolist() == [6, 6]
    assert seen == [{"times": 3}]
    pre.remove()
    assert module(lib.ones(2), times=2).tolist() == [4, 4]
    module.register_forward_pre_hook(lambda _m, args, _kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match="must return None or a tuple of"):
        module(lib.ones(2), times=2)


def test_handles(lib):
    module = make_scale(lib)()
    log = []
    with module.register_forward_hook(lambda *_: log.append(1)) as handle:
        module(lib.ones(2))
    module(lib.ones(2))
    handle.remove()
    assert log == [1]
    handle = module.register_forward_hook(lambda *_: None, with_kwargs=True, always_call=True)
    handle.remove()
    assert not module._forward_hooks_with_kwargs
    assert not module._forward_hooks_always_called
    dead = weakref.ref(module)
    del module
    gc.collect()
    assert dead() is None
    handle.remove()


def test_a_hook_must_be_callable():
    lib = lucidlite
    with pytest.raises(TypeError, match="hook=None"):
        lib.nn.Module().register_forward_hook(None)


def test_a_hook_may_remove_itself(lib):
    module = make_scale(lib)()
    log = []

    def once(*_):
        log.append("once")
        handle.remove()

    handle = module.register_forward_hook(once)
    module.register_forward_hook(lambda *_: log.append("always"))
    module(lib.ones(2))
    module(lib.ones(2))
    assert log == ["once", "always", "always"]


def test_always_call_runs_when_forward_raises(lib):
    class Broken(lib.nn.Module):
        def forward(self, _x):
            raise ValueError("broken")

    module = Broken()
    log = []
    module.register_forward_hook(lambda _m, _args, _output: log.append("normal"))
    module.register_forward_hook(lambda _m, _args, output: log.append(output), always_call=True)
    with pytest.raises(ValueError, match="broken"):
        module(1)
    assert log == [None]

    def worse(_m, _args, _output):
        raise KeyError("worse")

    module.register_forward_hook(worse, always_call=True)
    with (
        pytest.warns(UserWarning, match="silenced as another error was raised"),
        pytest.raises(ValueError, match="broken"),
    ):
        module(1)


def test_always_call_runs_once_when_a_hook_raises(lib):
    module = make_scale(lib)()
    log = []
    module.register_forward_hook(lambda *_: log.append("first"), always_call=True)

    def worse(*_):
        raise KeyError("worse")

    module.register_forward_hook(worse)
    module.register_forward_hook(lambda *_: log.append("last"), always_call=True)
    with pytest.raises(KeyError, match="worse"):
        module(lib.ones(2))
    assert log == ["first", "last"]


def test_the_module_stack_is_left_after_an_error():
    lib = lucidlite
    from lucidlite.callsite import module_stack

    class Broken(lib.nn.Module):
        def forward(self, x):
            raise ValueError(x)

    with pytest.raises(ValueError, match="broken"):
        lib.nn.Sequential(Broken())("broken")
    assert module_stack() is None


# -- the handle itself -----------------------------------------------------------------------


def test_handle_with_tables():
    hooks = lucidlite.hooks
    table, marks = OrderedDict(), OrderedDict()
    handle = hooks.add_hook(table, print, options=((marks, True),))
    other = hooks.add_hook(table, repr, prepend=True, options=((marks, False),))
    assert list(table.values()) == [repr, print]
    assert list(marks) == [handle.id]
    handle.remove()
    handle.remove()
    assert list(table) == [other.id]
    assert not marks
    plain = {}
    third = hooks.RemovableHandle(plain)
    plain[third.id] = print
    third.remove()
    assert plain == {}
