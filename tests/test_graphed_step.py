"""Steps as CUDA graphs: the numbers of the step itself, and clear words where that can't be."""

import copy
import gc
import weakref
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

import lucidlite
from lucidlite import nn, optim
from lucidlite.backends import get_backend
from lucidlite.cuda import make_graphed_step
from lucidlite.nn import functional as F

pytestmark = pytest.mark.usefixtures("cuda")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.dropout(self.features(x).flatten(1)))


def batch(n=6, seed=None):
    if seed is not None:
        lucidlite.manual_seed(seed)
    return lucidlite.randn(n, 2, 4, 4).to("cuda"), lucidlite.randint(0, 3, (n,)).to("cuda")


def small(seed=0):
    lucidlite.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to("cuda")


def values(module):
    held = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: t.detach().cpu().numpy().copy() for name, t in held.items()}


def same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def both(run):
    """``run(wrap)`` with steps as they are and as graphs: what it returns must be the same."""
    made = []

    def graphed(step, **options):
        made.append(make_graphed_step(step, **options))
        return made[-1]

    plain, followed = run(lambda step, **_: step), run(graphed)
    assert all(each.captured for each in made)
    np.testing.assert_equal(followed, plain)
    return made


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "dampening": lambda p: optim.SGD(p, lr=0.1, momentum=0.8, dampening=0.3, maximize=True),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_training_is_the_same(make):
    def run(wrap):
        lucidlite.manual_seed(0)
        model = Net().to("cuda")
        optimizer = make(model.parameters())
        scheduler = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

        def step(images, labels):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            return loss, norm

        step = wrap(step)
        seen = []
        for _ in range(9):
            seen.append([t.item() for t in step(*batch())])
            scheduler.step()
        steps = [s["step"].item() for s in optimizer.state.values() if "step" in s]
        grads = [p.grad.cpu().tolist() for p in model.parameters()]
        return seen, values(model), steps, grads, lucidlite.get_rng_state()

    both(run)


def test_a_launch_runs_no_python_and_waits_for_nothing(fake_cupy):
    model, ran = small(), []
    optimizer = optim.Adam(model.parameters())

    def step(x):
        ran.append(1)
        optimizer.zero_grad()
        loss = F.dropout(model(x), 0.5).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    graphed = make_graphed_step(step, warmup=2)
    x = lucidlite.ones(5, 3).to("cuda")
    for _ in range(3):
        graphed(x)
    assert (len(ran), graphed.captured) == (3, 1)
    with fake_cupy.counted() as counts, fake_cupy.no_sync():
        graphed(x)
    assert len(ran) == 3
    # The input, Adam's numbers, the generator's place, the graph, the result.
    assert counts == {"launch": 5, "h2d": 0, "d2h": 0, "sync": 0}


def test_sgd_with_the_same_rate_needs_no_numbers(fake_cupy):
    model = small()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    graphed = make_graphed_step(step, warmup=1)
    x = lucidlite.ones(5, 3).to("cuda")
    for _ in range(4):
        graphed(x)
    with fake_cupy.counted() as counts:
        assert graphed(x) is None
    assert counts["launch"] == 2  # the input, the graph


def test_rates_in_tensors_and_groups():
    def run(wrap):
        model = small()
        rate = lucidlite.tensor(0.1)
        groups = [{"params": [p], "lr": rate if n else 0.3} for n, p in
                  enumerate(model.parameters())]  # fmt: skip
        optimizer = optim.AdamW(groups, lr=0.2)

        def step(x):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

        step = wrap(step)
        for n in range(8):
            step(lucidlite.full((2, 3), 0.5, device="cuda"))
            rate.mul_(0.9)
            optimizer.param_groups[0]["lr"] = 0.01 * n
        return values(model)

    both(run)


# -- random numbers --------------------------------------------------------------------------------


def test_draws_follow_the_generator():
    def run(wrap):
        lucidlite.manual_seed(3)
        step = wrap(lambda x: (F.dropout(x, 0.5), F.dropout(x * 2, 0.2)))
        x = lucidlite.ones(4, 5).to("cuda")
        seen = []
        for call in range(10):
            seen += [t.cpu().tolist() for t in step(x)]
            if call % 2:
                lucidlite.rand(7)  # others draw in between
            if call == 6:
                lucidlite.manual_seed(99)
        return seen, lucidlite.get_rng_state()

    both(run)


def test_draws_of_other_operations():
    def run(wrap):
        lucidlite.manual_seed(3)
        step = wrap(
            lambda x: (
                F.rrelu(x, training=True),
                F.gumbel_softmax(x, hard=True),
                lucidlite.bernoulli(x.sigmoid()),
            )
        )
        x = lucidlite.linspace(-2, 2, 20).view(4, 5).to("cuda")
        return [t.cpu().tolist() for _ in range(6) for t in step(x)], lucidlite.get_rng_state()

    both(run)


def test_draws_of_a_generator_in_use():
    from lucidlite.generator import Generator, use_generator

    def run(wrap):
        own = Generator().manual_seed(4).fork(7)
        inside = wrap(lambda x: F.dropout(x, 0.5))
        x, seen = lucidlite.ones(3, 5).to("cuda"), []
        for _ in range(6):
            with use_generator(own):
                seen.append(inside(x).cpu().tolist())
        return seen, own.get_state()

    both(run)


# -- gradients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["inside", "outside", "inside to zero", "outside to zero",
                                   "never", "every second"])  # fmt: skip
def test_gradients_kept_and_cleared(where):
    def run(wrap):
        model = small()
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5)

        def step(x):
            if "inside" in where:
                optimizer.zero_grad(set_to_none="zero" not in where)
            loss = model(x).square().mean()
            loss.backward()
            return loss

        def train(x):
            loss = step(x)
            optimizer.step()
            return loss

        chosen = train if where != "every second" else step
        graphed = wrap(chosen)
        seen = []
        for call in range(12):
            x = (lucidlite.arange(15).reshape(5, 3) * 0.1 + call).to("cuda")
            if "outside" in where or (where == "every second" and call % 2 == 0):
                optimizer.zero_grad(set_to_none="zero" not in where)
            seen.append(graphed(x).item())
            seen.append([p.grad.cpu().tolist() for p in model.parameters()])
            if where == "every second" and call % 2:
                optimizer.step()
        return seen, values(model)

    both(run)


def test_other_gradients_assigned_between():
    def run(wrap):
        w = lucidlite.ones(3, device="cuda", requires_grad=True)

        def step(x):
            (w * x).sum().backward()

        step, seen = wrap(step), []
        for call in range(8):
            w.grad = lucidlite.full((3,), float(call), device="cuda")
            step(lucidlite.ones(3, device="cuda") * call)
            seen.append(w.grad.cpu().tolist())
        return seen

    both(run)


def test_the_optimizer_may_stay_outside():
    def run(wrap):
        model = small()
        optimizer = optim.Adam(model.parameters(), lr=0.05)

        def forward_backward(x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        step, seen = wrap(forward_backward), []
        for call in range(7):
            seen.append(step(lucidlite.full((5, 3), call * 0.1, device="cuda")).item())
            optimizer.step()
        return seen, values(model)

    both(run)


def test_a_gradient_the_step_leaves_alone():
    def run(wrap):
        model = small()
        other = lucidlite.ones(2, device="cuda", requires_grad=True)
        (other * 3).sum().backward()
        optimizer = optim.SGD([*model.parameters(), other], lr=0.1)

        def step(x):
            model.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

        step = wrap(step)
        for call in range(7):
            step(lucidlite.ones(5, 3, device="cuda"))
            if call == 5:
                other.grad = lucidlite.full((2,), 7.0, device="cuda")
        return other.tolist(), other.grad.tolist(), values(model)

    both(run)


def test_two_optimizers_and_two_backwards():
    def run(wrap):
        one, two = small(1), small(2)
        first = optim.Adam(one.parameters(), lr=0.05, betas=(0.5, 0.9))
        second = optim.SGD(two.parameters(), lr=0.1, momentum=0.9)

        def step(x):
            second.zero_grad()
            ((two(x) - one(x).detach()) ** 2).mean().backward()
            second.step()
            first.zero_grad()
            loss = (two(x) * one(x)).sum()
            loss.backward()
            first.step()
            first.step()
            return loss

        step = wrap(step)
        seen = [step(lucidlite.full((2, 3), 0.2 * n, device="cuda")).item() for n in range(8)]
        return seen, values(one), values(two)

    both(run)


def test_gradients_of_tensors_made_in_the_step():
    def run(wrap):
        model = small()

        def step(x):
            x = x.detach().requires_grad_()
            model(x).square().sum().backward()
            return x.grad

        step = wrap(step)
        return [step(lucidlite.full((2, 3), 0.2 * n, device="cuda")).tolist() for n in range(8)]

    both(run)


# -- what changes between calls --------------------------------------------------------------------


def test_shapes_have_graphs_of_their_own():
    def run(wrap):
        model = small()
        optimizer = optim.Adam(model.parameters(), lr=0.01)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        lucidlite.manual_seed(1)
        sizes = [4, 4, 3, 4, 4, 4, 3, 4, 3, 3, 4, 3]
        return [step(lucidlite.randn(n, 3).to("cuda")).item() for n in sizes], values(model)

    (made,) = both(run)
    assert made.captured == 2


def test_shapes_other_than_the_examples_are_refused():
    x, labels = batch(4)
    graphed = make_graphed_step(lambda x, labels: x.sum() + labels.sum(), x, labels)
    assert graphed(x, labels).shape == ()
    pattern = (
        r"must be like the examples \(drop_last=True .*got float32 \(3, 2, 4, 4\), int64 \(3,\), "
        r"expected float32 \(4, 2, 4, 4\), int64 \(4,\)"
    )
    with pytest.raises(ValueError, match=pattern):
        graphed(x[:3], labels[:3])


def test_too_many_kinds_of_calls():
    graphed = make_graphed_step(lambda x, n: x * n, warmup=1, graphs=2)
    x = lucidlite.ones(2, device="cuda")
    for n in range(19):
        assert graphed(x, n).tolist() == [n, n]
    with pytest.raises(RuntimeError, match=r"more kinds than there are graphs, got graphs=2; keep"):
        graphed(x, 20)


def test_few_graphs_are_kept():
    graphed = make_graphed_step(lambda x: x * 2, warmup=1, graphs=2)
    for n in (1, 2, 3, 1, 3):
        for _ in range(3):
            assert graphed(lucidlite.ones(n, device="cuda")).tolist() == [2.0] * n
    assert graphed.captured == 2
    graphed.reset()
    assert graphed.captured == 0
    assert graphed(lucidlite.ones(1, device="cuda")).tolist() == [2.0]


CHANGES = {
    "optimizer state": lambda t: t.optimizer.load_state_dict(
        copy.deepcopy(t.optimizer.state_dict())
    ),
    "rate": lambda t: t.optimizer.param_groups[0].update(lr=0.7),
    "momentum": lambda t: t.optimizer.param_groups[0].update(momentum=0.1),
    "decay": lambda t: t.optimizer.param_groups[0].update(weight_decay=0.3),
    "nesterov": lambda t: t.optimizer.param_groups[0].update(nesterov=True),
    "model state": lambda t: t.model.load_state_dict(
        {name: value * 2 for name, value in t.model.state_dict().items()}
    ),
    "data": lambda t: setattr(t.model.head.bias, "data", t.model.head.bias.data * 3),
    "eval": lambda t: t.model.eval(),
    "frozen": lambda t: t.model.head.weight.requires_grad_(False),
    "there and back": lambda t: t.model.cpu().cuda(),
    "dropout": lambda t: t.model.dropout.eval(),
    "nothing": lambda t: t,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changes_between_calls_are_seen(change):
    def run(wrap):
        lucidlite.manual_seed(5)
        model = Net().to("cuda")
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(images, labels):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            return loss

        step, seen = wrap(step), []
        for call in range(12):
            if call == 5:
                change(SimpleNamespace(model=model, optimizer=optimizer))
            seen.append(step(*batch()).item())
        return seen, values(model)

    both(run)


def test_weights_changed_between_calls_without_gradients():
    def run(wrap):
        lucidlite.manual_seed(5)
        model = Net().to("cuda").eval()

        @lucidlite.no_grad()
        def predict(images):
            return model(images)

        step, seen = wrap(predict), []
        for call in range(8):
            images, _ = batch(seed=1)
            seen.append(step(images).cpu().tolist())
            if call > 4:
                with lucidlite.no_grad():
                    for p in model.parameters():
                        p.mul_(1.5)
        return seen

    both(run)


def test_autocast_around_the_call():
    def run(wrap):
        model = small()
        step, seen = wrap(lambda x: model(x).detach()), []
        for call in range(12):
            with lucidlite.autocast("cuda", enabled=call % 3 == 0):
                out = step(lucidlite.full((2, 3), 0.3 + call, device="cuda"))
            seen.append((str(out.dtype), out.cpu().tolist()))
        return seen

    both(run)


def test_autocast_inside():
    def run(wrap):
        lucidlite.manual_seed(2)
        model = Net().to("cuda")
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(images, labels):
            optimizer.zero_grad()
            with lucidlite.autocast("cuda"):
                loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        return [step(*batch()).item() for _ in range(7)], values(model)

    both(run)


# -- arguments and results -------------------------------------------------------------------------


class Pair(NamedTuple):
    first: object
    second: object


def test_nested_arguments_and_results():
    def step(data, scale, *, extra=None):
        total = data["x"] * scale + data["rest"][0]
        return {"sum": total, "pair": Pair(total * 2, "text"), "list": [extra["y"] - 1, None]}

    graphed = make_graphed_step(step, warmup=1)
    for call in range(5):
        x = lucidlite.full((2,), float(call), device="cuda")
        out = graphed({"x": x, "rest": (x + 1, 5)}, 3, extra={"y": x})
        assert out["sum"].tolist() == [4 * call + 1] * 2
        assert isinstance(out["pair"], Pair)
        assert out["pair"].first.tolist() == [8 * call + 2] * 2
        assert out["pair"].second == "text"
        assert out["list"][0].tolist() == [call - 1] * 2
        assert out["list"][1] is None
    assert graphed.captured == 1


def test_constant_tables():
    graphed = make_graphed_step(lambda x: F.pad(x, (1, 2, 1, 0), mode="reflect"), warmup=1)
    for n in range(5):
        x = lucidlite.arange(12.0).reshape(1, 1, 3, 4).to("cuda") + n
        want = np.pad(x.cpu().numpy(), ((0, 0), (0, 0), (1, 0), (1, 2)), mode="reflect")
        np.testing.assert_array_equal(graphed(x).cpu().numpy(), want)
    assert graphed.captured == 1


def test_results_are_the_callers_own():
    w = lucidlite.ones(2, device="cuda", requires_grad=True)
    graphed = make_graphed_step(lambda x: w * x, warmup=1)
    kept = [graphed(lucidlite.full((2,), float(n), device="cuda")) for n in range(6)]
    assert [t.tolist() for t in kept] == [[n, n] for n in map(float, range(6))]
    assert not any(t.requires_grad for t in kept)


def test_memory_order_of_inputs_does_not_matter():
    graphed = make_graphed_step(lambda x: x.sum(dim=(2, 3)), warmup=1)
    x = lucidlite.randn(2, 3, 4, 5).to("cuda")
    turned = lucidlite.randn(5, 4, 3, 2).to("cuda").permute(3, 2, 1, 0)
    conv = nn.AvgPool2d(1)(x)
    for given in (x, x, turned, conv, turned * 2):
        np.testing.assert_allclose(
            graphed(given).cpu().numpy(), given.sum(dim=(2, 3)).cpu().numpy(), rtol=1e-5, atol=1e-5
        )
    assert graphed.captured == 1


def test_one_inside_another():
    inner = make_graphed_step(lambda x: x + 1, warmup=1)
    outer = make_graphed_step(lambda x: inner(x) * 2, warmup=1)
    seen = [outer(lucidlite.full((1,), float(n), device="cuda")).item() for n in range(5)]
    assert seen == [2, 4, 6, 8, 10]
    assert (outer.captured, inner.captured) == (1, 0)


def test_memory_is_given_back():
    model = small()
    graphed = make_graphed_step(lambda x: model(x).square().sum(), warmup=1)
    for _ in range(3):
        graphed(lucidlite.ones(2, 3, device="cuda"))
    (known,) = [each for each in graphed._known.values() if each is not None]
    recording = weakref.ref(known.recording)
    del known
    gc.disable()
    try:
        graphed.reset()
        assert recording() is None
    finally:
        gc.enable()


def test_gradients_outlive_the_graph():
    def run(wrap):
        w = lucidlite.ones(3, device="cuda", requires_grad=True)

        def step(x):
            w.grad = None
            (w * x).sum().backward()

        step = wrap(step)
        for n in range(6):
            step(lucidlite.full((3,), float(n), device="cuda"))
        return w.grad, step

    grad, graphed = run(make_graphed_step)
    backend = get_backend("cuda")
    pools = len(backend.pools)
    graphed.reset()
    assert 0 < len(backend.pools) <= pools  # the gradient's memory among them
    for _ in range(3):
        lucidlite.full((3,), 9.0, device="cuda")
    assert grad.tolist() == [5.0] * 3
    run(make_graphed_step)
    assert len(backend.pools) <= 4


# -- what is refused -------------------------------------------------------------------------------


class Custom(optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    def step(self, closure=None):
        del closure
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= group["lr"] * p.grad


class Own(optim.SGD):
    def step(self, closure=None):
        return super().step(closure)


def test_optimizers_that_cannot_be_followed():
    x = lucidlite.ones(2, 3, device="cuda")
    for make, name in ((Custom, "Custom"), (Own, "Own")):
        model = small()
        optimizer = make(model.parameters())

        def step(x, model=model, optimizer=optimizer):
            model(x).sum().backward()
            optimizer.step()

        with pytest.raises(RuntimeError, match=rf"can't run {name}: .*call its step\(\) after"):
            make_graphed_step(step)(x)


def test_a_grad_scaler_looks_at_its_gradients():
    model = small()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scaler = lucidlite.amp.GradScaler("cuda")

    def step(x):
        optimizer.zero_grad()
        scaler.scale(model(x).sum()).backward()
        scaler.step(optimizer)
        scaler.update()

    graphed = make_graphed_step(step, warmup=1)
    x = lucidlite.ones(2, 3, device="cuda")
    graphed(x), graphed(x)
    with pytest.raises(RuntimeError, match="can't read values on the host"):
        graphed(x)


def test_step_hooks():
    model = small()
    optimizer = optim.SGD(model.parameters())
    optimizer.register_step_post_hook(lambda *_: None)

    def step(x):
        model(x).sum().backward()
        optimizer.step()

    with pytest.raises(RuntimeError, match="can't call the step hooks of SGD each time; do after"):
        make_graphed_step(step)(lucidlite.ones(2, 3, device="cuda"))


@pytest.mark.parametrize("make", [
    lambda o: optim.lr_scheduler.StepLR(o, 2),
    lambda o: optim.lr_scheduler.ReduceLROnPlateau(o),
])  # fmt: skip
def test_schedules_inside(make):
    model = small()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = make(optimizer)

    def step(x):
        model(x).sum().backward()
        optimizer.step()
        scheduler.step(*([1.0] if "Plateau" in type(scheduler).__name__ else []))

    pattern = r"can't change learning rates; call \w+\.step\(\) after it"
    with pytest.raises(RuntimeError, match=pattern):
        make_graphed_step(step)(lucidlite.ones(2, 3, device="cuda"))
    assert scheduler.last_epoch == 0


REFUSED = {
    "item": (lambda x: x.sum().item(), r"can't read values on the host .*return the tensor"),
    "float": (lambda x: float(x.sum()), "can't read values on the host"),
    "if": (lambda x: x if x.sum() > 0 else -x, "can't read values on the host"),
    "print": (lambda x: str(x), "can't read values on the host"),
    "cpu": (lambda x: x.cpu(), "can't read values on the host"),
    "numpy": (lambda x: x.numpy(force=True), "can't read values on the host"),
    "rand": (lambda x: x + lucidlite.rand(2, device="cuda"), "can't copy host data to the GPU .*"
             "pass it to the step as an argument"),
    "non blocking": (
        lambda x: x + lucidlite.ones(2).pin_memory().to("cuda", non_blocking=True),
        "can't copy host data to the GPU",
    ),
    "to": (lambda x: x + lucidlite.ones(2).to("cuda"), "can't copy host data to the GPU"),
    "tensor": (lambda x: x + lucidlite.tensor([1.0, 2.0], device="cuda"), "can't copy host data"),
    "synchronize": (lambda x: (lucidlite.cuda.synchronize(), x)[1], "can't wait for the device"),
    "nonzero": (lambda x: x[x > 0], "make_graphed_step: a captured step can't"),
    "seed": (lambda x: (F.dropout(x), lucidlite.manual_seed(1))[0], "can't seed the generator"),
}  # fmt: skip


@pytest.mark.parametrize(("step", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_a_graph_cannot_hold(step, message):
    graphed = make_graphed_step(step, warmup=1)
    x = lucidlite.ones(2, device="cuda")
    graphed(x)
    with pytest.raises(RuntimeError, match=message):
        graphed(x)
    # Nothing is left behind.
    assert not get_backend("cuda").capturing
    assert (x + lucidlite.tensor([1.0, 2.0]).cuda()).tolist() == [2, 3]
    assert x.sum().item() == 2.0


def test_a_capture_that_fails_changes_nothing():
    model = small()
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    bad = [False]

    def step(x):
        optimizer.zero_grad()
        loss = F.dropout(model(x)).sum()
        loss.backward()
        optimizer.step()
        if bad[0]:
            loss.item()
        return loss

    graphed = make_graphed_step(step, warmup=2)
    x = lucidlite.ones(2, 3, device="cuda")
    graphed(x), graphed(x)
    before = values(model), lucidlite.get_rng_state(), optimizer.state_dict()["state"][0]["step"]
    grads = [p.grad for p in model.parameters()]
    count = before[2].item()
    bad[0] = True
    with pytest.raises(RuntimeError, match="can't read values"):
        graphed(x)
    same(values(model), before[0])
    assert lucidlite.get_rng_state() == before[1]
    assert optimizer.state_dict()["state"][0]["step"].item() == count == 2
    assert all(p.grad is g for p, g in zip(model.parameters(), grads, strict=True))
    bad[0] = False
    for _ in range(4):
        graphed(x)
    assert graphed.captured == 1
    assert optimizer.state_dict()["state"][0]["step"].item() == 6


def test_no_memory_left_for_a_graph(fake_cupy):
    graphed = make_graphed_step(lambda x: (x * 2).sum(), warmup=1)
    x = lucidlite.ones(1 << 16, device="cuda")
    graphed(x)
    fake_cupy.machine.memory = 1
    with pytest.raises(lucidlite.cuda.OutOfMemoryError, match="CUDA out of memory"):
        graphed(x)
    assert not get_backend("cuda").capturing


def test_a_parameter_that_joins_later():
    model = small()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    late = lucidlite.ones(2, device="cuda", requires_grad=True)
    optimizer.add_param_group({"params": [late]})
    joined = [False]

    def step(x):
        optimizer.zero_grad()
        out = model(x)
        (out * late if joined[0] else out).sum().backward()
        optimizer.step()

    graphed = make_graphed_step(step, warmup=1)
    x = lucidlite.ones(2, 3, device="cuda")
    for _ in range(2):
        graphed(x)
    joined[0] = True
    with pytest.raises(RuntimeError, match=r"first step for a parameter.*let every parameter get"):
        graphed(x)


def test_inputs_that_are_refused():
    graphed = make_graphed_step(lambda *x: x)
    on_gpu = lucidlite.ones(2, device="cuda")
    with pytest.raises(RuntimeError, match=r"must be on one cuda device, got cpu; move them there"):
        graphed(lucidlite.ones(2))
    with pytest.raises(RuntimeError, match=r"must be on one cuda device, got cuda:0, cpu"):
        graphed(on_gpu, lucidlite.ones(2))
    with pytest.raises(RuntimeError, match="must not require gradients"):
        graphed(lucidlite.ones(2, device="cuda", requires_grad=True))
    with pytest.raises(TypeError, match=r"inputs must be tensors, .* got set"):
        graphed({1, 2})
    for options in ({"warmup": 0}, {"graphs": 0}):
        with pytest.raises(ValueError, match="warmup and graphs must be 1 at least"):
            make_graphed_step(lambda: None, **options)


def test_errors_of_the_step_itself_pass():
    graphed = make_graphed_step(lambda x: x @ x, warmup=1)
    with pytest.raises(RuntimeError) as found:
        graphed(lucidlite.ones(2, 3, device="cuda"))
    assert "make_graphed_step" not in str(found.value)


# -- alarms ----------------------------------------------------------------------------------------


def test_bad_labels_are_reported():
    def step(x, labels):
        return F.cross_entropy(x, labels)

    graphed = make_graphed_step(step, warmup=1)
    x = lucidlite.zeros(2, 3, device="cuda")
    for _ in range(3):
        assert graphed(x, lucidlite.tensor([0, 2]).cuda()).item() == pytest.approx(np.log(3))
    loss = graphed(x, lucidlite.tensor([0, 7]).cuda())
    with pytest.raises(IndexError, match=r"(?s)7.*test_graphed_step\.py:\d+ in step"):
        loss.item()
    assert np.isnan(loss.item())
    assert graphed(x, lucidlite.tensor([1, 1]).cuda()).item() == pytest.approx(np.log(3))


def test_debugging_makes_no_graphs(monkeypatch):
    monkeypatch.setattr(get_backend("cuda").alarms, "at_once", True)
    ran = []
    graphed = make_graphed_step(lambda x: (ran.append(1), x * 2)[1], warmup=1)
    for _ in range(4):
        assert graphed(lucidlite.ones(1, device="cuda")).item() == 2.0
    assert (len(ran), graphed.captured) == (4, 0)
