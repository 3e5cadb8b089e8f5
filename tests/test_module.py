"""nn.Module: every test runs on lucidlite and, where it is installed, on torch as the reference."""

import numpy as np
import pytest
from module_cases import make_affine, make_net, names

import lucidlite


@pytest.fixture(params=["lucidlite", "torch"])
def lib(request):
    return pytest.importorskip(request.param, reason="compares with PyTorch")


# -- registration ----------------------------------------------------------------------------


def test_walks_list_members_in_order_of_registration(lib):
    net = make_net(lib)()
    assert names(net.named_parameters()) == [
        "gain", "first.weight", "body.0.weight", "body.1.weight", "body.2.weight",
    ]  # fmt: skip
    assert names(net.named_parameters(remove_duplicate=False))[-1] == "again.weight"
    assert names(net.named_parameters(recurse=False)) == ["gain"]
    assert names(net.named_parameters(prefix="net"))[:2] == ["net.gain", "net.first.weight"]
    assert names(net.named_buffers())[:2] == ["first.offset", "first.calls"]
    assert names(net.named_children()) == ["first", "body"]
    assert names(net.named_modules()) == ["", "first", "body", "body.0", "body.1", "body.2"]
    assert names(net.named_modules(remove_duplicate=False))[-1] == "again"
    assert [type(m).__name__ for m in net.modules()].count("Affine") == 4
    assert list(net.children()) == [net.first, net.body]
    assert len(list(net.parameters())) == 5
    assert len(list(net.buffers())) == 8


def test_assignment_moves_a_name_between_the_tables(lib):
    module = lib.nn.Module()
    module.x = lib.ones(2)
    assert "x" in module.__dict__
    module.x = lib.nn.Parameter(lib.ones(2))
    assert names(module.named_parameters()) == ["x"]
    assert "x" not in module.__dict__
    module.y = lib.nn.Module()
    module.y = lib.nn.Parameter(lib.ones(1))
    assert names(module.named_parameters()) == ["x", "y"]
    assert list(module.children()) == []
    module.x = None
    assert module.x is None
    assert names(module.named_parameters()) == ["y"]
    del module.y
    assert not hasattr(module, "y")
    with pytest.raises(AttributeError):
        del module.y


def test_a_buffer_keeps_being_one_when_reassigned(lib):
    module = lib.nn.Module()
    module.register_buffer("mean", lib.zeros(2), persistent=False)
    module.mean = lib.ones(2)
    assert names(module.named_buffers()) == ["mean"]
    assert list(module.state_dict()) == []
    module.count = lib.nn.Buffer(lib.zeros(3))
    module.secret = lib.nn.Buffer(lib.zeros(3), persistent=False)
    assert isinstance(module.count, lib.nn.Buffer)
    assert list(module.state_dict()) == ["count"]
    module.register_buffer("mean", lib.ones(2))
    assert list(module.state_dict()) == ["mean", "count"]
    module.mean = None
    assert list(module.state_dict()) == ["count"]


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda m, _lib: m.missing, AttributeError, "object has no attribute 'missing'"),
        (lambda m, _lib: setattr(m, "weight", 3), TypeError, "as parameter 'weight'"),
        (lambda m, lib: setattr(m, "weight", lib.ones(2)), TypeError, "as parameter 'weight'"),
        (lambda m, lib: setattr(m, "weight", lib.nn.Module()), TypeError, "as parameter 'weight'"),
        (lambda m, _lib: setattr(m, "child", 3), TypeError, "cannot assign 'int' as child module"),
        (lambda m, _lib: setattr(m, "offset", 3), TypeError, "cannot assign 'int' as buffer"),
        (lambda m, lib: m.register_parameter("w", lib.ones(2)), TypeError, "object to parameter"),
        (lambda m, _lib: m.register_parameter("a.b", None), KeyError, "can't contain"),
        (lambda m, _lib: m.register_parameter("", None), KeyError, "can't be empty string"),
        (lambda m, _lib: m.register_parameter("forward", None), KeyError, "already exists"),
        (lambda m, _lib: m.register_parameter(3, None), TypeError, "name should be a string. Got "),
        (
            lambda m, _lib: m.register_buffer("b", 3),
            TypeError,
            "cannot assign 'int' object to buff",
        ),
        (lambda m, _lib: m.register_buffer("a.b", None), KeyError, "can't contain"),
        (lambda m, _lib: m.register_buffer("weight", None), KeyError, "already exists"),
        (lambda m, _lib: m.register_buffer("", None), KeyError, "can't be empty string"),
        (lambda m, _lib: m.add_module("a", 3), TypeError, "int is not a Module subclass"),
        (lambda m, _lib: m.add_module("a.b", None), KeyError, "can't contain"),
        (lambda m, _lib: m.add_module("", None), KeyError, "can't be empty string"),
        (lambda m, _lib: m.register_module("forward", None), KeyError, "already exists"),
        (lambda m, _lib: m.get_submodule("nope"), AttributeError, "Affine has no attribute `nope`"),
        (lambda m, _lib: m.get_submodule("size"), AttributeError, "`size` is not an nn.Module"),
        (lambda m, _lib: m.get_parameter("child.w"), AttributeError, "has no attribute `w`"),
        (lambda m, _lib: m.get_parameter("offset"), AttributeError, "is not an nn.Parameter"),
        (lambda m, _lib: m.get_buffer("weight"), AttributeError, "`weight` is not a buffer"),
        (lambda m, _lib: m.set_submodule("", m), ValueError, "without a target name"),
        (lambda m, _lib: m.set_submodule("a", 3), ValueError, "is not an nn.Module"),
        (lambda m, _lib: m.set_submodule("a", m, strict=True), AttributeError, "no attribute `a`"),
        (lambda m, _lib: m.train("yes"), ValueError, "training mode is expected to be boolean"),
        (lambda m, lib: m.to(lib.int64), TypeError, "only accepts floating point"),
        (
            lambda m, _lib: m.child(1),
            NotImplementedError,
            'missing the required "forward" function',
        ),
        (lambda m, _lib: m.load_state_dict(3), TypeError, "expected state_dict to be dict-like"),
    ],
)
def test_refusals(lib, act, kind, text):
    module = make_affine(lib)()
    module.child = lib.nn.Module()
    with pytest.raises(kind) as caught:
        act(module, lib)
    assert text.lower() in caught.value.args[0].lower()


@pytest.mark.parametrize("part", ["module", "parameters", "buffer"])
def test_forgetting_super_init_is_named(lib, part):
    class Net(lib.nn.Module):
        def __init__(self):
            self.size = 3
            if part == "module":
                self.layer = lib.nn.Module()
            elif part == "parameters":
                self.weight = lib.nn.Parameter(lib.ones(1))
            else:
                self.mean = lib.nn.Buffer(lib.ones(1))

    with pytest.raises(AttributeError, match=rf"cannot assign {part} before Module.__init__\(\)"):
        Net()


def test_calling_a_module_without_super_init_says_so():
    lib = lucidlite

    class Net(lib.nn.Module):
        def __init__(self):
            self.size = 3

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) has not been called"):
        Net()(1)


def test_an_attribute_error_inside_a_property_is_the_one_seen():
    lib = lucidlite

    class Net(lib.nn.Module):
        @property
        def width(self):
            return self.no_such_thing

    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = Net().width


def test_a_parameter_must_be_a_leaf(lib):
    module = lib.nn.Module()
    weight = lib.nn.Parameter(lib.ones(2))
    with pytest.raises(TypeError, match="object to parameter 'w'"):
        module.register_parameter("w", weight * 2)


def test_dir_lists_members(lib):
    module = make_affine(lib)()
    module.child = lib.nn.Sequential(lib.nn.Module())
    assert {"weight", "bias", "offset", "child", "size", "forward"} <= set(dir(module))
    assert "0" not in dir(module.child)


def test_lookup_by_dotted_name(lib):
    net = make_net(lib)()
    assert net.get_submodule("") is net
    assert net.get_submodule("body.1") is net.body[1]
    assert net.get_parameter("body.2.weight") is net.body[2].weight
    assert net.get_buffer("first.offset") is net.first.offset
    other = make_affine(lib)()
    net.set_submodule("body.1", other)
    assert net.body[1] is other
    net.set_submodule("extra", other)
    assert net.extra is other


# -- printing --------------------------------------------------------------------------------


def test_repr(lib):
    net = make_net(lib)()
    assert repr(net) == (
        "Net(\n"
        "  (first): Affine(size=2)\n"
        "  (body): ModuleList(\n"
        "    (0-1): 2 x Affine(size=3)\n"
        "    (2): Affine(size=2)\n"
        "  )\n"
        "  (again): Affine(size=2)\n"
        ")"
    )
    assert repr(lib.nn.Module()) == "Module()"


@pytest.mark.parametrize("extra", ["", "a=1", "a=1\nb=2", "a=1\n\nb=2"])
@pytest.mark.parametrize("children", [0, 2])
def test_repr_of_settings_and_children(extra, children):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    import lucidlite

    def printed(lib):
        class Layer(lib.nn.Module):
            def extra_repr(self):
                return extra

        top = Layer()
        for i in range(children):
            top.add_module(f"part{i}", Layer() if i else None)
        return repr(lib.nn.Sequential(top, lib.nn.Module()))

    assert printed(lucidlite) == printed(torch)


# -- calls -----------------------------------------------------------------------------------


def test_call_runs_forward_and_errors_name_the_module():
    lib = lucidlite
    affine = make_affine(lib)
    model = lib.nn.Sequential(affine(2), lib.nn.Sequential(affine(3)))
    assert affine(2, 1.0)(lib.ones(2), scale=2).tolist() == [4, 4]
    with pytest.raises(RuntimeError, match=r"Sequential\.1\.0: Affine"):
        model(lib.ones(2))
    with pytest.raises(TypeError) as caught:
        lib.nn.Parameter([1.0])
    assert "in module" not in str(caught.value)


def test_super_in_python_2_style(lib):
    class Net(lib.nn.Module):
        def __init__(self):
            super(Net, self).__init__()  # noqa: UP008
            self.scale = lib.nn.Parameter(lib.ones(1))

        def forward(self, input):
            return input * self.scale

    assert Net()(lib.ones(1)).item() == 1
    with pytest.raises(TypeError):
        lib.nn.Module(3)


def test_training_by_hand_lowers_the_loss(lib):
    module = make_affine(lib)(2)
    x, y = lib.tensor([1.0, 2.0]), lib.tensor([3.0, -2.0])
    for _ in range(50):
        loss = ((module(x) - y) ** 2).sum()
        module.zero_grad()
        loss.backward()
        with lib.no_grad():
            for parameter in module.parameters():
                parameter.sub_(0.1 * parameter.grad)
    np.testing.assert_allclose(module.weight.tolist(), [3, -1], atol=1e-4)
