"""Sequential, ModuleList, ModuleDict: on lucidlite and, where it is installed, on torch."""

from collections import OrderedDict

import pytest

import lucidlite


@pytest.fixture(params=["lucidlite", "torch"])
def lib(request):
    return pytest.importorskip(request.param, reason="compares with PyTorch")


@pytest.fixture
def add(lib):
    """A class of modules that add a number, which is also their printed setting."""

    class Add(lib.nn.Module):
        def __init__(self, number=0):
            super().__init__()
            self.number = number

        def forward(self, x):
            return x + self.number

        def extra_repr(self):
            return str(self.number)

    return Add


def numbers(modules):
    return [m.number for m in modules]


def names(module):
    return [name for name, _ in module.named_children()]


# -- Sequential ------------------------------------------------------------------------------


def test_sequential_calls_in_order(lib, add):
    model = lib.nn.Sequential(add(1), add(2), add(3))
    assert model(lib.tensor(1)).item() == 7
    assert lib.nn.Sequential()(5) == 5
    assert len(model) == 3
    assert numbers(model) == [1, 2, 3]
    assert repr(model) == "Sequential(\n  (0): Add(1)\n  (1): Add(2)\n  (2): Add(3)\n)"


def test_sequential_of_an_ordered_dict(lib, add):
    model = lib.nn.Sequential(OrderedDict(one=add(1), two=add(2)))
    assert names(model) == ["one", "two"]
    assert model.two.number == 2
    assert model[1] is model.two
    assert names(model[1:]) == ["two"]
    model[0] = add(9)
    assert model.one.number == 9
    assert repr(model) == "Sequential(\n  (one): Add(9)\n  (two): Add(2)\n)"
    del model[0]
    assert names(model) == ["0"]


def test_sequential_indexing(lib, add):
    model = lib.nn.Sequential(*map(add, range(5)))
    assert model[0].number == 0
    assert model[-1].number == 4
    assert numbers(model[1:3]) == [1, 2]
    assert names(model[1:3]) == ["1", "2"]
    assert numbers(model[::-2]) == [4, 2, 0]
    assert type(model[:2]) is lib.nn.Sequential
    model[-2] = add(30)
    assert numbers(model) == [0, 1, 2, 30, 4]
    del model[1]
    assert numbers(model) == [0, 2, 30, 4]
    assert names(model) == ["0", "1", "2", "3"]
    del model[1:3]
    assert numbers(model) == [0, 4]
    assert numbers([model.pop(0)]) == [0]
    assert names(model) == ["0"]
    assert numbers(model.pop(slice(0, 1))) == [4]
    assert len(model) == 0


def test_sequential_grows(lib, add):
    model = lib.nn.Sequential(add(0))
    assert model.append(add(1)) is model
    assert model.extend([add(2), add(3)]) is model
    assert model.insert(1, add(10)) is model
    model.insert(-1, add(20))
    model.insert(6, add(30))
    assert numbers(model) == [0, 10, 1, 2, 20, 3, 30]
    assert names(model) == list("0123456")
    first, second = lib.nn.Sequential(add(1)), lib.nn.Sequential(add(2))
    both = first + second
    assert numbers(both) == [1, 2]
    assert both[0] is first[0]
    first += second
    assert numbers(first) == [1, 2]
    assert numbers(first * 2) == numbers(2 * first) == [1, 2, 1, 2]
    assert (first * 2)[2] is first[0]
    first *= 3
    assert numbers(first) == [1, 2] * 3


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda s: s[2], IndexError, "index 2 is out of range"),
        (lambda s: s[-3], IndexError, "index -3 is out of range"),
        (lambda s: s.__setitem__(2, s), IndexError, "index 2 is out of range"),
        (lambda s: s.__delitem__(2), IndexError, "index 2 is out of range"),
        (lambda s: s.pop(2), IndexError, "index 2 is out of range"),
        (lambda s: s["0"], TypeError, "integer"),
        (lambda s: s.__setitem__(0, 3), TypeError, "cannot assign 'int' as child module '0'"),
        (lambda s: s.insert(3, s[0]), IndexError, "Index out of range: 3"),
        (lambda s: s.insert(-3, s[0]), IndexError, "Index out of range: -3"),
        (lambda s: s.append(3), TypeError, "int is not a Module subclass"),
        (lambda s: s.extend(3), TypeError, "iterable"),
        (lambda s: type(s)([s]), TypeError, "list is not a Module subclass"),
        (lambda s: s.__add__([s]), ValueError, "supports only objects of Sequential class"),
        (lambda s: s.__iadd__([s]), ValueError, "supports only objects of Sequential class"),
        (lambda s: s * 1.5, TypeError, "unsupported operand type(s) for *"),
        (lambda s: s * 0, ValueError, "Non-positive multiplication factor 0"),
        (lambda s: s.__imul__(-1), ValueError, "Non-positive multiplication factor -1"),
    ],
)
def test_sequential_refusals(lib, add, act, kind, text):
    model = lib.nn.Sequential(add(0), add(1))
    with pytest.raises(kind) as caught:
        act(model)
    assert text in caught.value.args[0]


def test_insert_takes_a_module():
    for container in (lucidlite.nn.Sequential(), lucidlite.nn.ModuleList()):
        with pytest.raises(TypeError, match="insert: expected a Module, got int"):
            container.insert(0, 3)


# -- ModuleList ------------------------------------------------------------------------------


def test_module_list(lib, add):
    parts = lib.nn.ModuleList(map(add, range(4)))
    assert len(parts) == 4
    assert parts[-1].number == 3
    assert numbers(parts[1:]) == [1, 2, 3]
    assert type(parts[1:]) is lib.nn.ModuleList
    assert names(parts[1:]) == ["0", "1", "2"]
    parts[0] = add(7)
    parts.append(add(8)).extend(iter([add(9)]))
    parts += [add(10)]
    assert numbers(parts) == [7, 1, 2, 3, 8, 9, 10]
    assert numbers(parts.__add__([add(11)]))[-2:] == [10, 11]
    parts.insert(1, add(5))
    assert numbers(parts)[:3] == [7, 5, 1]
    assert parts.pop(0).number == 7
    del parts[1:6]
    assert numbers(parts) == [5, 10]
    assert names(parts) == ["0", "1"]
    assert parts[0] in parts
    assert len(lib.nn.ModuleList()) == 0


def test_module_list_insert_is_that_of_a_list():
    lib = lucidlite
    parts = lib.nn.ModuleList([lib.nn.Module(), lib.nn.Module()])
    new = lib.nn.Module()
    parts.insert(-1, new)
    assert parts[1] is new
    with pytest.raises(IndexError, match="Index out of range: 9"):
        parts.insert(9, new)


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda s: s[2], IndexError, "index 2 is out of range"),
        (lambda s: s.append(3), TypeError, "int is not a Module subclass"),
        (lambda s: s.extend(3), TypeError, "ModuleList.extend should be called with an iterable"),
        (lambda s: type(s)(3), TypeError, "ModuleList.extend should be called with an iterable"),
        (lambda s: s(1), NotImplementedError, "is missing the required"),
    ],
)
def test_module_list_refusals(lib, add, act, kind, text):
    with pytest.raises(kind) as caught:
        act(lib.nn.ModuleList([add(0), add(1)]))
    assert text in caught.value.args[0]


def test_module_list_prints_runs(lib, add):
    parts = lib.nn.ModuleList([add(1), add(1), add(2), add(3), add(3), add(3)])
    assert repr(parts) == (
        "ModuleList(\n  (0-1): 2 x Add(1)\n  (2): Add(2)\n  (3-5): 3 x Add(3)\n)"
    )
    assert repr(lib.nn.ModuleList()) == "ModuleList()"
    blocks = lib.nn.ModuleList(lib.nn.Sequential(add(1), add(2)) for _ in range(2))
    assert repr(lib.nn.Sequential(blocks)) == (
        "Sequential(\n"
        "  (0): ModuleList(\n"
        "    (0-1): 2 x Sequential(\n"
        "      (0): Add(1)\n"
        "      (1): Add(2)\n"
        "    )\n"
        "  )\n"
        ")"
    )


# -- ModuleDict ------------------------------------------------------------------------------


def test_module_dict(lib, add):
    table = lib.nn.ModuleDict({"b": add(2), "a": add(1)})
    assert list(table) == list(table.keys()) == ["b", "a"]
    assert numbers(table.values()) == [2, 1]
    assert [(k, m.number) for k, m in table.items()] == [("b", 2), ("a", 1)]
    table["c"] = add(3)
    assert table["c"] is table.c
    assert "c" in table
    assert "d" not in table
    table.update([("d", add(4)), ["b", add(20)]])
    table.update(lib.nn.ModuleDict({"e": add(5)}))
    assert [(k, m.number) for k, m in table.items()] == [
        ("b", 20), ("a", 1), ("c", 3), ("d", 4), ("e", 5),
    ]  # fmt: skip
    assert table.pop("a").number == 1
    del table["b"]
    assert len(table) == 3
    assert repr(table) == "ModuleDict(\n  (c): Add(3)\n  (d): Add(4)\n  (e): Add(5)\n)"
    table.clear()
    assert len(table) == 0
    assert repr(table) == "ModuleDict()"


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (lambda t: t["z"], KeyError, "z"),
        (lambda t: t.pop("z"), KeyError, "z"),
        (lambda t: t.__setitem__("x", 3), TypeError, "int is not a Module subclass"),
        (lambda t: t.__setitem__(3, t), TypeError, "module name should be a string"),
        (lambda t: t.__setitem__("keys", t), KeyError, "attribute 'keys' already exists"),
        (lambda t: t.__setitem__("a.b", t), KeyError, "can't contain"),
        (lambda t: t.update(3), TypeError, "should be called with an iterable of key/value pairs"),
        (lambda t: t.update([3]), TypeError, "sequence element #0 should be Iterable"),
        (lambda t: t.update([("a", t), ("b",)]), ValueError, "#1 has length 1; 2 is required"),
        (lambda t: t(1), NotImplementedError, "is missing the required"),
    ],
)
def test_module_dict_refusals(lib, add, act, kind, text):
    with pytest.raises(kind) as caught:
        act(lib.nn.ModuleDict({"a": add(0)}))
    assert text in caught.value.args[0]


# -- together --------------------------------------------------------------------------------


def test_state_of_nested_containers(lib):
    class Layer(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = lib.nn.Parameter(lib.ones(1))

    model = lib.nn.Sequential(
        lib.nn.ModuleList([Layer(), Layer()]), lib.nn.ModuleDict({"x": Layer()}), Layer()
    )
    assert list(model.state_dict()) == ["0.0.weight", "0.1.weight", "1.x.weight", "2.weight"]
    assert len(list((model[:1] * 2).parameters())) == 2
