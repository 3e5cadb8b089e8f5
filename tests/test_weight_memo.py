"""What a convolution derives from its weight is kept without gradients, until anybody writes to it.

The spy below keeps a copy of the weight as a kernel would keep a transform of it, and computes with
that: a write that goes uncounted shows as a stale result, whatever the real kernel derives.
"""

from __future__ import annotations

import copy
import ctypes
import io
import threading
import weakref

import numpy as np
import pytest

import lucidlite
from lucidlite import nn
from lucidlite.backends import cpu
from lucidlite.view import Version

F = nn.functional


class Spy:
    """A conv2d kernel that computes with what it derived from the weight."""

    def __init__(self, monkeypatch):
        self.derived = 0  # how often it had to derive
        self.memos = []  # what it was given, None where it must not keep anything
        plain = type(cpu).conv2d

        def conv2d(backend, x, w, bias, window, groups, keep, memo=None):
            self.memos.append(memo)
            if memo is None or "spy" not in memo:
                self.derived += 1
            if memo is not None:
                w = memo.setdefault("spy", w.copy())
            return plain(backend, x, w, bias, window, groups, keep)

        monkeypatch.setattr(type(cpu), "conv2d", conv2d)


@pytest.fixture
def spy(monkeypatch):
    return Spy(monkeypatch)


def layer_and_image(dtype=lucidlite.float32):
    lucidlite.manual_seed(0)
    layer = nn.Conv2d(8, 8, 3, padding=1).to(dtype)
    return layer, lucidlite.randn(2, 8, 16, 16, dtype=dtype)


def look(layer, x):
    with lucidlite.no_grad():
        return layer(x).numpy().copy()


def fresh(layer, x):
    """The result by a weight and a bias that nobody has seen before, on the same path."""
    twin = copy.deepcopy(layer)
    return look(twin, x)


# -- writes ----------------------------------------------------------------------------------------


def by_array(array):
    def write():
        array[...] = array * 0.5 + 0.25

    return write


def by_tensor(tensor):
    def write():
        with lucidlite.no_grad():
            tensor.mul_(0.5).add_(0.25)

    return write


def numpy_source(layer):
    source = np.random.default_rng(0).standard_normal((8, 8, 3, 3), np.float32)
    layer.weight = nn.Parameter(lucidlite.from_numpy(source))
    return by_array(source)


def numpy_source_as_data(layer):
    source = np.random.default_rng(0).standard_normal((8, 8, 3, 3), np.float32)
    layer.weight.data = lucidlite.as_tensor(source)
    return by_array(source)


def numpy_source_twice(layer):
    source = np.random.default_rng(0).standard_normal((8, 8, 3, 3), np.float32)
    layer.weight = nn.Parameter(lucidlite.from_numpy(source))
    return by_tensor(lucidlite.from_numpy(source))


def numpy_source_assigned(layer):
    state = {k: lucidlite.from_numpy(v.numpy().copy()) for k, v in layer.state_dict().items()}
    layer.load_state_dict(state, assign=True)
    return by_array(state["weight"].numpy())


def dlpack(layer):
    array = np.from_dlpack(layer.weight.detach())
    if not array.flags.writeable:
        pytest.skip("this NumPy reads DLPack capsules without writing to them")
    return by_array(array)


def by_address(layer):
    size = layer.weight.numel()
    return by_array(np.ctypeslib.as_array((ctypes.c_float * size).from_address(
        layer.weight.data_ptr())))  # fmt: skip


def assigned_data(layer):
    def write():
        layer.weight.data = layer.weight.data * 0.5 + 0.25

    return write


def replaced(layer):
    def write():
        layer.weight = nn.Parameter(layer.weight.detach() * 0.5 + 0.25)

    return write


def stepped(name, **options):
    def prepare(layer):
        optimizer = getattr(lucidlite.optim, name)([layer.weight], **options)

        def write():
            layer.weight.grad = lucidlite.randn(8, 8, 3, 3)
            optimizer.step()

        return write

    return prepare


def custom_step(layer):
    def write():
        with lucidlite.no_grad():
            layer.weight -= 0.1 * lucidlite.ones_like(layer.weight)

    return write


def loaded(layer):
    def write():
        state = layer.state_dict()
        layer.load_state_dict({name: value * 0.5 + 0.25 for name, value in state.items()})

    return write


def loaded_into_place(layer):
    def write():
        state = {name: value * 0.5 + 0.25 for name, value in layer.state_dict().items()}
        layer.load_state_dict(state, assign=True)

    return write


def saved_and_loaded(layer):
    def write():
        file = io.BytesIO()
        lucidlite.save({k: v * 0.5 for k, v in layer.state_dict().items()}, file)
        file.seek(0)
        layer.load_state_dict(lucidlite.load(file))

    return write


def initialised(name, *args):
    def prepare(layer):
        return lambda: getattr(nn.init, name)(layer.weight, *args)

    return prepare


def there_and_back(layer):
    def write():
        layer.double()
        with lucidlite.no_grad():
            layer.weight.mul_(0.5)
        layer.float()

    return write


def under_the_api(layer):
    def write():
        layer.weight.array[...] += 0.25
        layer.weight.bump_version()

    return write


class Halve(lucidlite.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(0.5)

    @staticmethod
    def backward(_ctx, g):
        return g * 0.5


class Pass(lucidlite.autograd.Function):
    @staticmethod
    def forward(_ctx, x):
        return x

    @staticmethod
    def backward(_ctx, g):
        return g


class PassView(Pass):
    @staticmethod
    def forward(_ctx, x):
        return x.view(-1)


def marked_dirty(layer):
    return lambda: Halve.apply(layer.weight.detach())


def halves_written(layer):
    """A write in two parts, each through its own view."""
    parts = layer.weight.detach().chunk(2)

    def write():
        for part in parts:
            part.mul_(0.5)

    return write


WRITES = {
    "numpy()": lambda layer: by_array(layer.weight.detach().numpy()),
    "numpy(force)": lambda layer: by_array(layer.weight.numpy(force=True)),
    "numpy() of a view": lambda layer: by_array(layer.weight.detach()[2].numpy()),
    "np.asarray": lambda layer: by_array(np.asarray(layer.weight.detach())),
    "np.from_dlpack": dlpack,
    "from_numpy": numpy_source,
    "as_tensor to data": numpy_source_as_data,
    "from_numpy twice": numpy_source_twice,
    "from_numpy assigned": numpy_source_assigned,
    "address": by_address,
    "data": lambda layer: by_tensor(layer.weight.data),
    "detach": lambda layer: by_tensor(layer.weight.detach()),
    "detach of data": lambda layer: by_tensor(layer.weight.data.detach()),
    "copy.copy": lambda layer: by_tensor(copy.copy(layer.weight)),
    "Parameter of it": lambda layer: by_tensor(nn.Parameter(layer.weight)),
    "Buffer of it": lambda layer: by_tensor(nn.Buffer(layer.weight.data)),
    "itself": lambda layer: by_tensor(layer.weight),
    "state_dict": lambda layer: by_tensor(layer.state_dict()["weight"]),
    "state_dict of vars": lambda layer: by_tensor(layer.state_dict(keep_vars=True)["weight"]),
    "view": lambda layer: by_tensor(layer.weight.detach().view(-1)),
    "part of a view": lambda layer: by_tensor(layer.weight.data.view(-1)[3:7]),
    "permuted": lambda layer: by_tensor(layer.weight.data.permute(2, 3, 0, 1)[0, 0]),
    "select": lambda layer: by_tensor(layer.weight.data[1]),
    "chunks": halves_written,
    "setitem": lambda layer: lambda: layer.weight.data.__setitem__(0, 0.125),
    "copy_": lambda layer: lambda: layer.weight.data.copy_(layer.weight.data * 0.5),
    "fill_": lambda layer: lambda: layer.weight.data.fill_(layer.weight.data.sum().item() + 1),
    "masked_fill_": lambda layer: lambda: layer.weight.data.masked_fill_(layer.weight > 0, 0.0),
    "assigned data": assigned_data,
    "assigned parameter": replaced,
    "sgd": stepped("SGD", lr=0.1),
    "sgd with momentum": stepped("SGD", lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": stepped("Adam", lr=0.1),
    "adamw": stepped("AdamW", lr=0.1, amsgrad=True),
    "own step": custom_step,
    "load_state_dict": loaded,
    "load_state_dict(assign)": loaded_into_place,
    "save and load": saved_and_loaded,
    "init normal": initialised("normal_"),
    "init uniform": initialised("uniform_"),
    "init kaiming": initialised("kaiming_normal_"),
    "init xavier": initialised("xavier_uniform_"),
    "init orthogonal": initialised("orthogonal_"),
    "init trunc_normal": initialised("trunc_normal_"),
    "reset_parameters": lambda layer: layer.reset_parameters,
    "double and float": there_and_back,
    "bump_version": under_the_api,
    "mark_dirty": marked_dirty,
    "a Function's output": lambda layer: by_tensor(Pass.apply(layer.weight).detach()),
    "a Function's view": lambda layer: by_tensor(PassView.apply(layer.weight.detach())),
}


@pytest.mark.parametrize("prepare", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("early", [True, False], ids=["seen before", "seen after"])
def test_every_write_is_seen(prepare, early, spy):
    """The alias is made before anything is kept, or afterwards."""
    layer, x = layer_and_image()
    if early:
        write = prepare(layer)
    for _ in range(2):
        before = look(layer, x)
    if not early:
        write = prepare(layer)
        look(layer, x)
    for _ in range(3):
        before = look(layer, x)
        write()
        expected = fresh(layer, x)
        np.testing.assert_array_equal(look(layer, x), expected)
        np.testing.assert_array_equal(look(layer, x), expected)
        if prepare is not WRITES["masked_fill_"] and prepare is not WRITES["setitem"]:
            assert not np.array_equal(before, expected)  # or the test would show nothing
    assert spy.derived > 3


@pytest.mark.parametrize("prepare", WRITES.values(), ids=WRITES.keys())
def test_every_write_is_seen_by_the_kernel_itself(prepare):
    layer, x = layer_and_image()
    look(layer, x)
    write = prepare(layer)
    look(layer, x)
    write()
    np.testing.assert_array_equal(look(layer, x), fresh(layer, x))


def test_writes_through_torch_are_seen(spy):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    layer, x = layer_and_image()
    look(layer, x)
    seen = torch.from_dlpack(layer.weight.detach())
    assert seen.data_ptr() == layer.weight.array.ctypes.data
    for _ in range(2):
        look(layer, x)
        seen.mul_(0.5)
        np.testing.assert_array_equal(look(layer, x), fresh(layer, x))
    assert spy.memos[-2] is None  # the last but one: fresh() has a weight of its own
    shared = torch.randn(8, 8, 3, 3)
    layer.weight = nn.Parameter(lucidlite.from_numpy(shared.numpy()))
    look(layer, x)
    shared.mul_(0.5)
    np.testing.assert_array_equal(look(layer, x), fresh(layer, x))


def test_dlpack():
    x = lucidlite.arange(6.0).view(2, 3)
    array = np.from_dlpack(x)
    np.testing.assert_array_equal(array, x.numpy())
    assert np.shares_memory(array, x.numpy())
    assert x.__dlpack_device__() == x.numpy().__dlpack_device__()
    with pytest.raises(BufferError, match="can't export tensors that require gradient"):
        np.from_dlpack(x.requires_grad_())


def test_an_interrupted_write_counts(spy):
    layer, x = layer_and_image()
    optimizer = lucidlite.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    adam = lucidlite.optim.Adam(layer.parameters(), lr=0.1)

    def interrupted(plain):
        def step(backend, *args, **options):
            plain(backend, *args, **options)
            raise KeyboardInterrupt

        return step

    look(layer, x)
    kind = type(cpu)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "sgd_steps", interrupted(kind.sgd_steps))
        patch.setattr(kind, "adam_steps", interrupted(kind.adam_steps))
        for each in (optimizer, adam):
            layer.weight.grad = lucidlite.ones(8, 8, 3, 3)
            look(layer, x)
            with pytest.raises(KeyboardInterrupt):
                each.step()
            np.testing.assert_array_equal(look(layer, x), fresh(layer, x))
    assert spy.derived > 4


# -- no memory is shared uncounted -----------------------------------------------------------------

SEERS = {
    "detach": lambda w: w.detach(),
    "data": lambda w: w.data,
    "view": lambda w: w.view(8, -1),
    "reshape": lambda w: w.reshape(-1),
    "flatten": lambda w: w.flatten(1),
    "unflatten": lambda w: w.unflatten(0, (2, 4)),
    "transpose": lambda w: w.transpose(0, 1),
    "permute": lambda w: w.permute(3, 2, 1, 0),
    "movedim": lambda w: w.movedim(0, 3),
    "mT": lambda w: w.mT,
    "squeeze": lambda w: w.squeeze(),
    "unsqueeze": lambda w: w.unsqueeze(0),
    "expand": lambda w: w.expand(2, 8, 8, 3, 3),
    "broadcast_to": lambda w: lucidlite.broadcast_to(w, (2, 8, 8, 3, 3)),
    "expand_as": lambda w: w.expand_as(w),
    "view_as": lambda w: w.view_as(w),
    "reshape_as": lambda w: w.reshape_as(w),
    "index": lambda w: w[0],
    "slice": lambda w: w[1:3, ..., ::2],
    "ellipsis": lambda w: w[...],
    "mask": lambda w: w[w == w],
    "chunk": lambda w: w.chunk(2)[0],
    "split": lambda w: w.split(8)[0],
    "unbind": lambda w: w.unbind()[0],
    "contiguous": lambda w: w.contiguous(),
    "to": lambda w: w.to(lucidlite.float32),
    "float": lambda w: w.float(),
    "cpu": lambda w: w.cpu(),
    "requires_grad_": lambda w: w.requires_grad_(False),
    "copy.copy": copy.copy,
    "Parameter": nn.Parameter,
    "positive": lambda w: +w,
    "as_tensor": lucidlite.as_tensor,
    "dropout": lambda w: F.dropout(w, 0.5, training=False),
    "dropout of nothing": lambda w: F.dropout(w, 0.0),
    "Identity": lambda w: nn.Identity()(w),
    "pad by nothing": lambda w: F.pad(w, (0, 0)),
    "crop": lambda w: F.pad(w, (-1, 0)),
    "cat of one": lambda w: lucidlite.cat([w]),
    "sum over nothing": lambda w: w.sum(dim=1, keepdim=True) if w.ndim < 2 else w[:, :1].sum(1),
    "where": lambda w: lucidlite.where(w == w, w, w),
    "clamp": lambda w: w.clamp(-1e9, 1e9),
    "pow 1": lambda w: w**1,
    "max_pool2d 1": lambda w: F.max_pool2d(w, 1),
    "avg_pool2d 1": lambda w: F.avg_pool2d(w, 1),
    "adaptive_avg_pool2d": lambda w: F.adaptive_avg_pool2d(w, 3),
    "adaptive_max_pool2d": lambda w: F.adaptive_max_pool2d(w, (3, 3)),
    "conv2d by 1": lambda w: F.conv2d(w, lucidlite.eye(8).view(8, 8, 1, 1)),
    "clone": lambda w: w.clone(),
    "flip of nothing": lambda w: w.flip(()),
    "max over a dim of 1": lambda w: w[:1].max(0)[0],
    "sort": lambda w: w.sort()[0],
    "cumsum": lambda w: w[:, :, :1, :1].cumsum(2),
    "masked_fill": lambda w: w.masked_fill(w != w, 0.0),
    "relu": lambda w: F.relu(w.abs()),
    "Function": Pass.apply,
    "Function's view": PassView.apply,
}


@pytest.mark.parametrize("see", SEERS.values(), ids=SEERS.keys())
@pytest.mark.parametrize("taped", [True, False])
def test_who_sees_the_memory_counts_writes_with_it(see, taped):
    layer, _ = layer_and_image()
    weight = layer.weight
    with lucidlite.set_grad_enabled(taped):
        out = see(weight)
    if np.shares_memory(out.array, weight.array):
        assert out is weight or out._cell is weight._cell


def test_a_functions_output_that_was_saved_is_checked():
    class Doubled(lucidlite.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = (x.detach() * 2).add_(0.0).view(-1)
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return (g * 2 + 0 * y).view(2, 3)

    x = lucidlite.ones(2, 3, requires_grad=True)
    Doubled.apply(x).sum().backward()
    assert x.grad.tolist() == [[2.0] * 3] * 2
    y = Doubled.apply(x)
    with lucidlite.no_grad():
        y.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


# -- it is used where it may be --------------------------------------------------------------------


def test_the_weight_is_derived_from_once(spy):
    layer, x = layer_and_image()
    for _ in range(5):
        look(layer, x)
    assert spy.derived == 1
    assert spy.memos[0] is not None
    assert all(memo is spy.memos[0] for memo in spy.memos)
    with lucidlite.inference_mode():
        layer(x)
    assert spy.derived == 1
    look(layer, lucidlite.randn(8, 16, 16))  # an image without a batch, another size
    assert spy.derived == 1


@pytest.mark.parametrize("frozen", [False, True])
def test_nothing_is_kept_where_gradients_are_recorded(frozen, spy):
    layer, x = layer_and_image()
    layer.requires_grad_(not frozen)
    look(layer, x)
    for _ in range(2):
        out = layer(x)
    if not frozen:
        out.sum().backward()
    assert spy.memos[1:] == [None, None]
    look(layer, x)
    assert spy.derived == 3  # the first, and the two that may not keep: the memo outlived them


def test_reading_is_no_writing(spy, tmp_path):
    layer, x = layer_and_image()
    look(layer, x)
    repr(layer.weight), layer.weight.tolist(), layer.weight.sum().item()
    state = layer.state_dict()
    lucidlite.save(state, tmp_path / "weights")
    copy.deepcopy(layer)
    other = nn.Conv2d(8, 8, 3, padding=1)
    other.load_state_dict(state)
    lucidlite.tensor(layer.weight.detach())
    layer.weight.detach().clone().numpy()[...] = 0
    for _ in layer.parameters():
        pass
    layer.eval().train().float().to("cpu")
    look(layer, x)
    # float() and to() assign .data, which is new memory to everybody.
    assert spy.derived <= 2
    spy.derived = 0
    look(layer, x)
    assert spy.derived == 0


SIGHTS = {
    "array": lambda w: w.detach().numpy(),
    "part": lambda w: w.detach().numpy()[1:, ::2],
    "asarray": lambda w: np.asarray(w.detach()),
    "list": lambda w: [w.data.numpy().reshape(-1)],
    "buffer": lambda w: memoryview(w.detach().numpy()),
    "dlpack": lambda w: np.from_dlpack(w.detach()),
    "a view's": lambda w: w.detach().view(-1).numpy(),
}


@pytest.mark.parametrize("sight", SIGHTS.values(), ids=SIGHTS.keys())
def test_a_weight_is_not_kept_while_somebody_sees_it_from_outside(sight, spy):
    layer, x = layer_and_image()
    look(layer, x)
    seen = sight(layer.weight)
    for _ in range(2):
        look(layer, x)
    assert spy.memos[1:] == [None, None]
    del seen
    for _ in range(2):
        look(layer, x)
    assert spy.memos[-1] is not None
    assert spy.memos[-1] is spy.memos[-2]


def test_a_weight_whose_address_was_told_is_never_kept_again(spy):
    layer, x = layer_and_image()
    layer.weight.data_ptr()
    for _ in range(2):
        look(layer, x)
    assert spy.memos == [None, None]
    layer.weight.data = layer.weight.data.clone()  # memory of its own
    for _ in range(2):
        look(layer, x)
    assert spy.memos[-1] is not None
    assert spy.memos[-1] is spy.memos[-2]


def test_a_weight_in_somebody_elses_memory_is_never_kept(spy):
    """Whoever sees the whole of it doesn't hold the array that a part is."""
    layer, x = layer_and_image()
    whole = np.zeros((2, *layer.weight.shape), np.float32)
    layer.weight.data = lucidlite.from_numpy(whole[1])
    for _ in range(2):
        look(layer, x)
    assert spy.memos == [None, None]


@pytest.mark.usefixtures("spy")
def test_parts_of_one_memory_are_told_apart():
    lucidlite.manual_seed(0)
    both, x = lucidlite.randn(2, 8, 8, 3, 3), lucidlite.randn(1, 8, 9, 9)
    with lucidlite.no_grad():
        parts = both.unbind()
        for _ in range(2):
            for i, part in enumerate(parts):
                expected = F.conv2d(x, part.clone())
                for weight in (part, both[i]):
                    assert F.conv2d(x, weight).tolist() == expected.tolist()


@pytest.mark.usefixtures("spy")
def test_a_weight_laid_out_anew_is_told_apart():
    """A view puts a tensor that nobody else sees into row-major memory."""
    lucidlite.manual_seed(0)
    weight = F.conv2d(lucidlite.randn(8, 8, 5, 5), lucidlite.randn(8, 8, 3, 3))
    x = lucidlite.randn(1, 8, 9, 9)
    with lucidlite.no_grad():
        first = F.conv2d(x, weight)
        weight.view(-1).mul_(2.0)
        np.testing.assert_allclose(F.conv2d(x, weight).numpy(), 2 * first.numpy(), 1e-5, 1e-4)


# -- what is kept stays here, and ends -------------------------------------------------------------


def kept_copy(spy):
    return weakref.ref(spy.memos[-1]["spy"])


def held(ref):
    return ref() is not None


@pytest.mark.parametrize("how", ["write", "numpy", "end", "data"])
def test_what_is_kept_is_let_go(how, spy):
    layer, x = layer_and_image()
    look(layer, x)
    kept = kept_copy(spy)
    spy.memos.clear()
    assert held(kept)
    if how == "write":
        layer.weight.data.add_(1.0)
    elif how == "numpy":
        layer.weight.detach().numpy()
    elif how == "data":
        layer.weight.data = lucidlite.zeros(8, 8, 3, 3)
    else:
        del layer
    assert not held(kept)


@pytest.mark.usefixtures("spy")
def test_copies_and_files_dont_take_it_along():
    layer, x = layer_and_image()

    def size_of_file():
        file = io.BytesIO()
        lucidlite.save(layer.state_dict(), file)
        return len(file.getvalue())

    size = size_of_file()
    look(layer, x)
    assert size_of_file() == size
    twin = copy.deepcopy(layer)
    assert twin.weight._cell is not layer.weight._cell
    assert twin.weight._cell is None or twin.weight._cell.held is None
    with lucidlite.no_grad():
        twin.weight.mul_(0.5)
    before = look(layer, x)
    assert not np.array_equal(look(twin, x), before)
    np.testing.assert_array_equal(look(layer, x), before)
    shallow = copy.copy(layer)  # one weight, two modules
    np.testing.assert_array_equal(look(shallow, x), before)
    assert shallow.weight is layer.weight


# -- threads ---------------------------------------------------------------------------------------


def test_many_threads_look_at_once():
    """With the real kernel: all start after a write, all must see it."""
    layer, x = layer_and_image()
    found, count, rounds = {}, 4, 5
    gates = [threading.Barrier(count + 1) for _ in range(2 * rounds)]

    def work(number):
        with lucidlite.no_grad():
            for i in range(rounds):
                gates[2 * i].wait()
                found[i, number] = [layer(x).numpy() for _ in range(3)]
                gates[2 * i + 1].wait()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    try:
        for i in range(rounds):
            with lucidlite.no_grad():
                layer.weight.mul_(0.9)
            expected = fresh(layer, x)
            gates[2 * i].wait(60)
            gates[2 * i + 1].wait(60)
            for number in range(count):
                for result in found.pop((i, number)):
                    np.testing.assert_array_equal(result, expected)
    except BaseException:
        for gate in gates:
            gate.abort()
        raise
    finally:
        for thread in threads:
            thread.join()


def test_a_write_during_a_look_is_seen_by_the_next(spy, monkeypatch):
    """What is derived from a weight that is being written must not outlive the write."""
    layer, x = layer_and_image()
    plain = type(cpu).conv2d
    started, written = threading.Event(), threading.Event()

    def slow(backend, x, w, *rest):
        derived = w.copy()
        started.set()
        written.wait(60)
        memo = rest[-1]
        if memo is not None:
            memo["spy"] = derived
        return plain(backend, x, w, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(type(cpu), "conv2d", slow)
        thread = threading.Thread(target=look, args=(layer, x))
        thread.start()
        started.wait(60)
        layer.weight.data.mul_(0.5)
        written.set()
        thread.join()
    np.testing.assert_array_equal(look(layer, x), fresh(layer, x))
    assert spy.derived


def test_a_memo_that_comes_late_is_of_the_old_version():
    """A thread may put its memo down just after a write ended."""
    cell, tensor = Version(), lucidlite.zeros(3)
    memo = cell.memo(tensor)
    late = cell.held
    cell.bump()
    cell.held = late
    assert cell.memo(tensor) is not memo
