"""CUDA graphs of whole training steps: captured once, then launched by one call.

The captured step is Python run once more, while the device only records. What Python does in it is
not done again; so what follows from outside (learning rates, step counts, random numbers) is
handed to the graph before each launch, and what can't be is refused or leads to a new capture.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels.graph import Numbers, Recording, refusal
from lucidlite.callsite import error
from lucidlite.cuda.nested import flattened, mapped, words
from lucidlite.generator import current_generator
from lucidlite.grad_mode import grad_mode
from lucidlite.notes import Notes, watch
from lucidlite.ops.precision import precision
from lucidlite.optim.hooks import acting_hooks
from lucidlite.tape import wrap
from lucidlite.tensor import Tensor

PATIENCE = 16  # calls in a row, beside the usual ones, of which none could be from a graph


def make_graphed_step(
    step: Callable[..., Any], *example_inputs: Any, warmup: int = 3, graphs: int = 4
) -> GraphedStep:
    """``step`` as a function that runs on a GPU as one CUDA graph, without Python's work.

    The first ``warmup`` calls run ``step`` as it is; the next is captured, and from then on a call
    copies its tensors to where the graph reads them and launches it. The numbers are those of
    ``step`` itself. Results are copies, without a graph of gradients. A new shape, dtype or other
    argument, a module's training mode or ``requires_grad`` changed, parameters or optimizer state
    replaced, gradients there or not: each leads to a graph of its own, of which ``graphs`` are
    kept. With ``example_inputs`` inputs of other shapes and dtypes are a ValueError.

    Followed are the options and step counts of SGD, Adam and AdamW, generators (dropout) and
    ``.grad``. A step must not read values (``item()``, ``if tensor``), copy host data to the GPU,
    change learning rates or run other optimizers: RuntimeError says what to do instead. Whatever
    else Python does in it (counting, printing) happens only while it is captured.

    >>> import lucidlite
    >>> graphed = lucidlite.cuda.make_graphed_step(lambda x: (x * 2).sum())
    >>> graphed.captured
    0

    Semantics: like torch.cuda.graph around a step, with the copies done.
    """
    if warmup < 1 or graphs < 1:
        raise error(
            ValueError,
            "make_graphed_step: warmup and graphs must be 1 at least, "
            f"got warmup={warmup}, graphs={graphs}",
        )
    return GraphedStep(step, example_inputs, warmup, graphs)


class GraphedStep:
    """What ``make_graphed_step`` returns: call it like the step."""

    def __init__(
        self, step: Callable[..., Any], examples: tuple[Any, ...], warmup: int, graphs: int
    ) -> None:
        self._step, self._warmup, self._most = step, warmup, graphs
        self._examples = flattened("make_graphed_step", (examples, {}), []) if examples else None
        self.reset()

    def reset(self) -> None:
        """Let go of all graphs and start over with calls that run the step as it is."""
        self._known: dict[Any, _Captured | None] = {}
        self._runs: dict[Any, int] = {}
        self._in_a_row = 0
        self._leaves: list[weakref.ref[Tensor]] = []
        self._optimizers: dict[int, Any] = {}

    @property
    def captured(self) -> int:
        """The number of graphs there are."""
        return sum(each is not None for each in self._known.values())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tensors: list[Tensor] = []
        kind = flattened("make_graphed_step", (args, kwargs), tensors)
        backend = _backend(tensors)
        if self._examples is not None and kind != self._examples:
            raise error(
                ValueError,
                "make_graphed_step: inputs must be like the examples (drop_last=True keeps a "
                "DataLoader's batches alike; without examples each shape has a graph), "
                f"got {words(kind)}, expected {words(self._examples)}",
            )
        if watch.notes is not None:
            return self._step(*args, **kwargs)  # part of another graph
        if backend.alarms.at_once:
            # Every index is to be checked at once, which a graph can't.
            return mapped(self._step(*args, **kwargs), Tensor.detach)
        modes = grad_mode.enabled, grad_mode.inference, *precision.state.dtypes.items()
        leaves = self._alive(())
        key = kind, modes, tuple([leaf._grad is None for leaf in leaves])
        known = self._known.get(key)
        if known is not None and not known.still_so():
            known = self._known[key] = None
            self._runs[kind] = min(self._runs[kind], self._warmup - 1)
        if known is None:
            new = key not in self._known
            if new or self._runs.get(kind, 0) < self._warmup:
                self._note(key)
                return self._run(kind, backend, args, kwargs)
            self._known[key] = known = _Captured(backend, leaves)
            counts = _step_counts(self._optimizers.values())
            generator = current_generator()
            position = generator.get_state()
            try:
                known.capture(self._step, args, kwargs, tensors)
            except BaseException:
                del self._known[key]
                for counter, value in counts:
                    counter[...] = value
                generator.set_state(position)
                raise
            self._alive(known.leaves())
        self._in_a_row = 0
        self._known[key] = self._known.pop(key)  # the last used is the last to go
        return known.launch(tensors)

    def _alive(self, more: Iterable[Any]) -> list[Tensor]:
        """The tensors that get gradients, but not those that are gone after each call."""
        found = {id(leaf): leaf for ref in self._leaves if (leaf := ref()) is not None}
        found.update((id(leaf), leaf) for leaf in more)
        self._leaves = [weakref.ref(leaf) for leaf in found.values()]
        return [*found.values()]

    def _note(self, key: Any) -> None:
        """Count a call that is run as it is; make room for its graph."""
        self._in_a_row += 1
        if self._in_a_row > self._warmup + self._most + PATIENCE:
            raise error(
                RuntimeError,
                f"make_graphed_step: {self._in_a_row} calls in a row were of more kinds than there "
                f"are graphs, got graphs={self._most}; keep shapes alike (drop_last=True), pass "
                "numbers that change as tensors, or allow more graphs",
            )
        self._known.setdefault(key, None)
        while len(self._known) > self._most:
            oldest = next(each for each in self._known if each != key)
            del self._known[oldest]

    def _run(self, kind: Any, backend: Any, args: Any, kwargs: Any) -> Any:
        """The step as it is, with an eye on what it does."""
        watch.notes = notes = Notes()
        try:
            result = self._step(*args, **kwargs)
        finally:
            watch.notes = None
        for optimizer in notes.optimizers:
            _check_optimizer(optimizer, backend)
        self._optimizers.update((id(each), each) for each in notes.optimizers)
        self._runs[kind] = self._runs.get(kind, 0) + 1
        self._alive([*notes.leaves, *_parameters(notes.optimizers)])
        return mapped(result, Tensor.detach)


class _Captured:
    """One graph: what it reads and writes, and what has to be as it was for it to be right."""

    def __init__(self, backend: Any, leaves: list[Tensor]) -> None:
        self.recording = Recording(backend)
        self.backend = backend
        self.known = [weakref.ref(leaf) for leaf in leaves]
        self.first = True

    def leaves(self) -> list[Tensor]:
        """The tensors that get gradients and are there still."""
        return [leaf for ref in self.known if (leaf := ref()) is not None]

    def capture(self, step: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        """Run ``step`` once more, recording what it launches."""
        backend = self.backend
        self.inputs = [wrap(backend.copy_like(t.array, t.array), backend) for t in tensors]
        replaced = iter(self.inputs)
        args, kwargs = mapped((args, kwargs), lambda _: next(replaced))
        before = [(leaf, leaf._grad) for leaf in self.leaves()]
        for leaf, grad in before:
            leaf._grad = None if grad is None else _Probe.of(grad)
        probes = [(leaf, leaf._grad, grad) for leaf, grad in before if grad is not None]
        watch.notes = notes = Notes()
        # Casts that autocast has kept would be read by the graph when they are long out of date.
        mode = precision.enter(precision.state._replace(keep=False))
        try:
            result = self.recording.capture(lambda: step(*args, **kwargs))
        except BaseException as problem:
            for leaf, grad in before:
                leaf._grad = grad
            device = isinstance(problem, RuntimeError) and not isinstance(problem, MemoryError)
            if not device or str(problem).startswith("make_graphed_step"):
                raise
            raise refusal(
                f"be made of this one: {type(problem).__name__}: {problem}",
                "leave what failed out of the step",
            ) from problem
        finally:
            precision.leave(mode)
            watch.notes = None
        touched = *self.leaves(), *notes.leaves, *_parameters(notes.optimizers)
        found = {id(leaf): leaf for leaf in touched}.values()
        alone = {id(leaf) for leaf, probe, _ in probes if leaf._grad is probe and not probe.touched}
        for leaf, probe, grad in probes:
            if leaf._grad is probe:
                leaf._grad = grad
        self.known = [weakref.ref(leaf) for leaf in found]
        # Whose gradient's values the step reads, and what it leaves in ``.grad``.
        self.reads = [(weakref.ref(leaf), grad.array) for leaf, p, grad in probes if p.touched]
        self.grads = [(weakref.ref(leaf), leaf._grad) for leaf in found if id(leaf) not in alone]
        self.result = mapped(result, Tensor.detach)
        self.optimizers = notes.optimizers
        self.modules = {id(m): m for root in notes.modules for m in root.modules()}
        self.facts = [*self._facts()]

    def _facts(self) -> Iterator[Any]:
        """What a launch relies on; identities and values, compared by ``is`` or ``==``."""
        for module in self.modules.values():
            yield module.training
            for held in (module._parameters, module._buffers):
                for tensor in held.values():
                    if tensor is not None:
                        yield tensor.array
                        yield tensor._requires_grad
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                yield group.get("nesterov"), group["maximize"], group.get("amsgrad")
                yield bool(group.get("momentum")), group.get("decoupled_weight_decay")
                for param in group["params"]:
                    yield param.array
                    for value in optimizer.state.get(param, {}).values():
                        yield value.array if isinstance(value, Tensor) else value

    def still_so(self) -> bool:
        """Whether the graph does what the step would."""
        facts = [*self._facts()]
        return len(facts) == len(self.facts) and all(
            [a is b or (not hasattr(a, "dtype") and a == b)
             for a, b in zip(facts, self.facts, strict=True)]
        )  # fmt: skip

    def launch(self, tensors: list[Tensor]) -> Any:
        """One step of the graph."""
        backend = self.backend
        for static, given in zip(self.inputs, tensors, strict=True):
            static.array[...] = given.array
        for ref, array in self.reads:
            leaf = ref()
            if leaf is not None and leaf._grad.array is not array:
                array[...] = leaf._grad.array
        for ref, grad in self.grads:
            leaf = ref()
            if leaf is not None:
                leaf._grad = grad
            if grad is not None:
                grad.bump_version()
        numbers: list[Numbers] | None = None
        if not self.first:
            backend.following = numbers = []
            try:
                for optimizer in self.optimizers:
                    optimizer.step()
            finally:
                backend.following = None
        self.recording.replay(numbers)
        self.first = False
        backend.alarms.arm()
        return mapped(self.result, lambda t: wrap(backend.copy_like(t.array, t.array), backend))


class _Probe(Tensor):
    """A gradient that was there before the step, and notes whether its values matter to it."""

    touched: bool

    @staticmethod
    def of(grad: Tensor) -> Any:
        probe = object.__new__(_Probe)
        vars(probe).update({**vars(grad), "_held": grad.array, "touched": False})
        vars(probe).pop("array")
        return probe

    @property
    def array(self) -> Any:
        self.touched = True
        return vars(self)["_held"]

    @array.setter
    def array(self, value: Any) -> None:  # noqa: ARG002
        raise refusal("put other data into a gradient", "assign a tensor to .grad instead")


def _check_optimizer(optimizer: Any, backend: Any) -> None:
    name = type(optimizer).__name__
    if not optimizer._by_backend:
        raise refusal(
            f"run {name}: its numbers would stay as they are",
            "use SGD, Adam or AdamW, or call its step() after the graphed one",
        )
    if acting_hooks(optimizer):
        raise refusal(f"call the step hooks of {name} each time", "do after it what they do")
    if any(p.backend is not backend for p in _parameters([optimizer])):
        raise refusal("update parameters of several devices", "graph a step for each")


def _parameters(optimizers: Iterable[Any]) -> list[Tensor]:
    return [p for each in optimizers for group in each.param_groups for p in group["params"]]


def _step_counts(optimizers: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Where optimizers count their steps, and how far they are."""
    counters = [state.get("step") for each in optimizers for state in each.state.values()]
    return [(c.array, c.array.copy()) for c in counters if isinstance(c, Tensor)]


def _backend(tensors: list[Tensor]) -> Any:
    """The one of all inputs."""
    devices = {str(t.device): t.backend for t in tensors}
    if len(devices) > 1 or any(t.device.type != "cuda" for t in tensors):
        raise error(
            RuntimeError,
            "make_graphed_step: inputs must be on one cuda device, "
            f"got {', '.join(devices)}; move them there with .to('cuda')",
        )
    if any(t.requires_grad for t in tensors):
        raise error(
            RuntimeError,
            "make_graphed_step: inputs must not require gradients; detach() them, or make them "
            "parameters, got requires_grad=True",
        )
    return tensors[0].backend if tensors else get_backend("cuda")
