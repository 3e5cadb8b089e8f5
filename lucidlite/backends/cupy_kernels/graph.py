"""Recording a CUDA graph: what a backend does while the launches of a step are captured.

A graph repeats launches with the very addresses and numbers they were captured with. So memory
comes from a pool of the graph's own, what was there before is kept, what is uploaded is uploaded
when the capture has ended, and numbers that change from one launch of the graph to the next are
read from device memory: those of optimizer steps, and the places of generators.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lucidlite.backends.cupy_kernels.memory import guarded
from lucidlite.backends.kernels import Array
from lucidlite.callsite import error

NUMBERS = 8  # of an optimizer step, in device memory
WORDS = 6  # of a generator's place
MOST_TABLES = 256
HOST = (np.ndarray, np.generic, bool, int, float, list, tuple)

Numbers = tuple[float, ...]


def refusal(what: str, instead: str) -> RuntimeError:
    """The error for what a captured step can't do."""
    return error(RuntimeError, f"make_graphed_step: a captured step can't {what}; {instead}")


def release_pools(backend: Any) -> None:
    """Give back what is left of graphs that are gone.

    CuPy frees a pool's memory with the pool, whoever uses it still (a gradient, say): so pools
    outlive their graphs until nobody does.
    """
    if backend.capturing or all([recording() is not None for recording, _ in backend.pools]):
        return
    backend.enter()
    backend.stream.synchronize()  # the graph may be running
    pools = list(backend.pools)
    backend.pools.clear()
    for recording, pool in pools:
        if recording() is None:
            pool.free_all_blocks()
            if not pool.used_bytes():
                continue
        backend.pools.append((recording, pool))


class Draws:
    """A generator that a graph draws from, and the device memory that says where."""

    def __init__(self, cell: Array, generator: Any) -> None:
        self.cell, self.generator = cell, generator
        self.before = self.seen = generator.get_state()
        self.blocks = 0  # each launch takes

    def check(self) -> None:
        """Note where the generator is, and that it only went on since the last time."""
        now, seen = self.generator.get_state(), self.seen
        if now["offset"] < seen["offset"] or {**now, "offset": 0} != {**seen, "offset": 0}:
            raise refusal("seed the generator that it draws from", "seed it before the step")
        self.seen = now
        self.blocks = now["offset"] - self.before["offset"]

    def take(self, count: int) -> int:
        """The block that the next ``count`` draws begin at, counted from where the graph began."""
        self.check()
        block: int = self.generator.reserve(count)
        self.check()
        return block - int(self.before["offset"])

    def place(self, first: bool) -> tuple[int, ...]:
        """Where the next launch draws; ``first``: its draws were taken during the capture."""
        block = self.before["offset"] if first else self.generator.reserve(4 * self.blocks)
        return self.generator.words(block)  # type: ignore[no-any-return]


class Recording:
    """A graph that is being captured in this thread, or was."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.thread = threading.get_ident()
        cupy = backend.enter()
        release_pools(backend)
        # What the graph's launches leave to one another, and what is put there from outside: a
        # launch before its first reader must not have had that memory for something else.
        pools = cupy.cuda.MemoryPool(), cupy.cuda.MemoryPool()
        backend.pools += [(weakref.ref(self), pool) for pool in pools]
        weakref.finalize(self, release_pools, backend).atexit = False
        self._malloc, self._malloc_lasting = (guarded(cupy, pool) for pool in pools)
        self.own: set[int] = set()  # addresses of what the launches leave to one another
        self.graph: Any = None
        self.kept: dict[int, Array] = {}  # what the launches use and has to live as long
        self.keep(backend.alarms.flag)  # made now, if nobody asked before
        self.uploads: list[tuple[Array, np.ndarray[Any, Any]]] = []
        self.steps: list[Array] = []
        self.captured_numbers: list[Numbers] = []
        self.stored: list[Numbers | None] = []
        self.draws: dict[int, Draws] = {}

    def capture(self, run: Callable[[], Any]) -> Any:
        """``run()``, but what it launches is recorded and not executed. Returns its result."""
        backend = self.backend
        cupy = backend.enter()
        cupy.get_default_memory_pool().free_all_blocks()
        usual = {name: vars(backend).get(name) for name in self._instead()}
        vars(backend).update(self._instead(), recording=self, capturing=True)
        whole = False
        try:
            with cupy.cuda.using_allocator(self._allocate):
                backend.stream.begin_capture()
                try:
                    result = run()
                    for draws in self.draws.values():
                        draws.check()
                    whole = True
                finally:
                    self._end_capture(whole)
        finally:
            for name, value in usual.items():
                del vars(backend)[name]
                if value is not None:
                    vars(backend)[name] = value
            backend.recording, backend.capturing = None, False
            if not whole or self.graph is None:
                for draws in self.draws.values():
                    draws.generator.set_state(draws.before)
            for array, host in self.uploads:  # some are kept by others, whatever went wrong
                array[...] = cupy.asarray(host)
            self.uploads.clear()
        return result

    def _end_capture(self, whole: bool) -> None:
        try:
            self.graph = self.backend.stream.end_capture()
        except Exception:
            if whole:  # else the stream fails for what made the step fail, which says more
                raise

    def _allocate(self, size: int) -> Any:
        memory = self._malloc(size)
        self.own.add(memory.mem.ptr)
        return memory

    # -- while the step is captured --------------------------------------------------------------

    def upload(self, host: np.ndarray[Any, Any]) -> Array:
        """Room on the device that ``host`` is copied to when the capture has ended."""
        array = self._lasting(host.shape, host.dtype)
        self.uploads.append((array, host.copy()))
        return array

    def _lasting(self, shape: Any, dtype: Any) -> Array:
        """An array that is written to from outside."""
        cupy = self.backend.xp
        with cupy.cuda.using_allocator(self._malloc_lasting):
            array = cupy.empty(shape, dtype)
        self.kept[array.data.ptr] = array
        return array

    def keep(self, array: Array) -> None:
        """Let an array that a launch was given live as long as the graph."""
        if array.data.mem.ptr not in self.own:
            self.kept[array.data.mem.ptr] = array

    def hold(self, numbers: Numbers) -> Array:
        """Room for the numbers of an optimizer step."""
        self.steps.append(self._lasting(NUMBERS, np.float64))
        self.captured_numbers.append(numbers)
        self.stored.append(None)
        return self.steps[-1]

    def drawing(self, generator: Any) -> Draws:
        """What the graph knows of a generator that it draws from."""
        found = self.draws.get(id(generator))
        if found is None:
            found = Draws(self._lasting(WORDS, np.uint64), generator)
            self.draws[id(generator)] = found
        return found

    def _instead(self) -> dict[str, Callable[..., Any]]:
        """What the backend does otherwise for the thread that captures."""
        backend = self.backend
        usual = {name: getattr(backend, name) for name in
                 ("launch", "asarray", "send", "constant", "to_numpy", "synchronize")}  # fmt: skip

        def launch(*args: Any, **kwargs: Any) -> None:
            for each in args[3:]:  # after the family, the kernel and the count
                if each is not None and not isinstance(each, HOST):
                    self.keep(each)
            usual["launch"](*args, **kwargs)

        def asarray(value: Any, dtype: Any = None) -> Array:
            if not isinstance(value, HOST):
                return usual["asarray"](value, dtype)
            host = np.asarray(value, dtype)
            if host.ndim:
                raise refusal(
                    "copy host data to the GPU (it would be the same in every step)",
                    "draw or move it before, and pass it to the step as an argument",
                )
            return self.upload(host)

        def send(host: Any) -> Array:
            return asarray(host)

        def constant(value: Any, dtype: Any) -> Array:
            return self.upload(np.asarray(value, dtype))

        def to_numpy(array: Array) -> Any:  # noqa: ARG001
            raise refusal(
                "read values on the host (item(), float(), numpy(), printing, `if tensor`)",
                "return the tensor and read it after the step",
            )

        def synchronize() -> None:
            raise refusal("wait for the device", "synchronize after the step")

        def here_only(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def chosen(*args: Any, **kwargs: Any) -> Any:
                mine = threading.get_ident() == self.thread
                return (function if mine else usual[name])(*args, **kwargs)

            return chosen

        each: tuple[Callable[..., Any], ...]
        each = launch, asarray, send, constant, to_numpy, synchronize
        return {name: here_only(name, f) for name, f in zip(usual, each, strict=True)}

    # -- when the graph is launched ----------------------------------------------------------------

    def replay(self, numbers: Sequence[Numbers] | None) -> None:
        """Run the graph, with other numbers for its optimizer steps than it was captured with.

        None is for the first time: what the host had to do was done during the capture.
        """
        first = numbers is None
        backend = self.backend
        steps = self.captured_numbers if numbers is None else numbers
        for place, (cell, values) in enumerate(zip(self.steps, steps, strict=True)):
            if self.stored[place] != values:
                padded = (*values, *[0.0] * (NUMBERS - len(values)))
                backend.launch("optim", "put_numbers", 0, cell, *padded, grid=(1,), block=32)
                self.stored[place] = values
        for draws in self.draws.values():
            words = draws.place(first)
            backend.launch("random", "put_words", 0, draws.cell, *words, grid=(1,), block=32)
        backend.enter()
        self.graph.launch(backend.stream)


class CuPyGraph:
    """What kernels ask of the recording, where there is one."""

    recording: Recording | None = None
    # Where the numbers of optimizer steps go that are part of a graph, instead of a launch.
    following: list[Numbers] | None = None
    asarray: Any

    @functools.cached_property
    def pools(self) -> list[tuple[weakref.ref[Recording], Any]]:
        """The memory of graphs, each with the graph's recording."""
        return []

    def recorded(self) -> Recording | None:
        """The recording, if this thread makes it."""
        recording = self.recording
        mine = recording is not None and recording.thread == threading.get_ident()
        return recording if mine else None

    def upload(self, host: np.ndarray[Any, Any]) -> Array:
        """A small constant table on the device; that of a graph is there when the graph is run."""
        recording = self.recorded()
        return self.asarray(host) if recording is None else recording.upload(host)

    @functools.cached_property
    def _constant_tables(self) -> dict[Any, Array]:
        return {}

    def table(self, values: Any) -> Array:
        """Kept by its content, so that steady steps copy nothing to the device."""
        host = np.asarray(values)
        key = host.dtype.char, host.shape, host.tobytes()
        tables = self._constant_tables
        found, recording = tables.get(key), self.recorded()
        if found is None:
            if len(tables) >= MOST_TABLES:
                del tables[next(iter(tables))]
            found = tables[key] = self.upload(host)
        elif recording is not None:
            recording.keep(found)
        return found

    def held_place(self, generator: Any, count: int) -> tuple[Array | None, tuple[int, ...]]:
        """Take ``count`` draws: where they are, as ``Generator.words`` has it.

        In a graph the place is in device memory and the words are what is added to it.
        """
        recording = self.recorded()
        if recording is None:
            return None, generator.words(generator.reserve(count))
        draws = recording.drawing(generator)
        return draws.cell, (0, 0, draws.take(count), 0, 0, 0)
