"""DataLoader: batches of a dataset, in order, loaded in the background if asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lucidlite.backends import get_backend
from lucidlite.backends.cupy_kernels.probe import find_cupy
from lucidlite.callsite import error
from lucidlite.device import Device
from lucidlite.generator import Generator, current_generator
from lucidlite.utils.data.collate import default_collate, default_convert
from lucidlite.utils.data.dataset import IterableDataset
from lucidlite.utils.data.epoch import Epoch, Plan
from lucidlite.utils.data.iterator import BatchIterator
from lucidlite.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from lucidlite.utils.data.worker import WorkerPool

_FIXED = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class DataLoader:
    """Iterates over a dataset in batches; each ``iter(loader)`` is an epoch.

    The order is the sampler's: random with ``shuffle``, or ``sampler`` (indices), or
    ``batch_sampler`` (lists of them). Samples are joined by ``collate_fn``; ``batch_size=None``
    yields them one by one. ``num_workers`` threads load ahead, ``prefetch_factor`` (2) batches
    each; batches keep their order and their content whatever the number. They are threads: they
    share the dataset and Python's lock, and pay where loading waits or runs in NumPy.
    ``generator`` (default: the global one) seeds each epoch, its shuffle and what every sample
    draws through lucidlite (draws from ``random`` and ``numpy.random`` are not covered). An error
    while loading arrives in its own class and names the sample.

    ``device`` (not in PyTorch): batches arrive there, each copied while the one before is used.
    ``pin_memory`` gives batches in pinned memory, from which ``.to("cuda", non_blocking=True)``
    copies in the background; without a GPU it does nothing. ``multiprocessing_context`` and
    ``in_order=False`` raise ValueError.

    >>> import lucidlite
    >>> from lucidlite.utils.data import DataLoader, TensorDataset
    >>> data = TensorDataset(lucidlite.arange(5))
    >>> [x.tolist() for (x,) in DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]

    Semantics: torch.utils.data.DataLoader.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        device: Any = None,
    ) -> None:
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if multiprocessing_context is not None:
            raise error(
                ValueError, "DataLoader: workers are threads, multiprocessing_context must be None"
            )
        if not in_order:
            raise error(ValueError, "DataLoader: batches always come in order, got in_order=False")
        if pin_memory_device and Device(pin_memory_device).type != "cuda":
            raise error(
                ValueError,
                "DataLoader: memory is pinned for a cuda device, "
                f"got pin_memory_device={pin_memory_device!r}",
            )
        self._is_stream = isinstance(dataset, IterableDataset)
        if self._is_stream:
            given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in given.items():
                if value is not None:
                    raise error(
                        ValueError,
                        f"DataLoader with IterableDataset: expected unspecified {name} option, "
                        f"but got {name}={value}",
                    )
        if sampler is not None and shuffle:
            raise error(ValueError, "sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise error(
                    ValueError,
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last",
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise error(
                ValueError,
                "batch_size=None option disables auto-batching and is mutually exclusive "
                "with drop_last",
            )
        if sampler is None and not self._is_stream:
            if shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            # For a stream, only the check of its arguments is wanted.
            batch_sampler = BatchSampler(sampler or (), batch_size, drop_last)
        if self._is_stream:
            batch_sampler = None
        batched = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.device = None if device is None else get_backend(device).device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self._pool: WorkerPool | None = None
        self._epoch: Epoch | None = None
        self._epoch_states: list[dict[str, int]] = []
        self._resume: dict[str, Any] | None = None
        self.persistent_workers = persistent_workers

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "persistent_workers" in self.__dict__:
            raise error(
                ValueError, f"{name} attribute should not be set after DataLoader is initialized"
            )
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        """What the order comes from: lists of indices, or indices where ``batch_size`` is None."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __len__(self) -> int:
        """The number of batches; TypeError where the dataset or sampler has no length."""
        if not self._is_stream:
            return len(self._index_sampler)
        count = len(self.dataset)
        if self.batch_size is None:
            return count
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> BatchIterator:
        resume, self._resume = self._resume, None
        position = 0 if resume is None else int(resume["position"])
        generators = self._generators()
        if resume is not None:
            for generator, state in zip(generators, resume["generators"], strict=True):
                generator.set_state(state)
        self._epoch_states = [generator.get_state() for generator in generators]
        if resume is None or resume["seed"] is None or self.generator is not None:
            seed = int((self.generator or current_generator()).raw(1)[0] >> 1)  # fits an int64
        else:  # the global generator made this draw before the interruption
            seed = int(resume["seed"])
        plan = Plan(
            self.dataset,
            self._index_sampler,
            self.batch_sampler is not None,
            self.batch_size,
            self.drop_last,
            self.collate_fn,
            self.num_workers,
        )
        epoch = self._epoch = Epoch(plan, seed, 0 if self._is_stream else position)
        batches = BatchIterator(
            epoch,
            self._batches(),
            self._workers(seed),
            own_pool=not self.persistent_workers,
            ahead=self.num_workers * (self.prefetch_factor or 1),
            timeout=self.timeout,
            device=None if self.device is None or self.device.type == "cpu" else self.device,
            pin=self.pin_memory and find_cupy()[0] is not None,
        )
        if self._is_stream:
            for _ in range(position):
                next(batches, None)
        return batches

    def _workers(self, seed: int) -> WorkerPool | None:
        if not self.num_workers:
            return None
        pool = self._pool
        if pool is None:
            pool = WorkerPool(self.num_workers, self.dataset, seed, self.worker_init_fn)
            if self.persistent_workers:
                self._pool = pool
        return pool

    def _generators(self) -> list[Generator]:
        """The generators this loader was given, itself or through its samplers."""
        inner = getattr(self.batch_sampler, "sampler", None)
        found: list[Generator] = []
        for owner in (self, self.batch_sampler, inner, self.sampler):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, Generator) and all(generator is not g for g in found):
                found.append(generator)
        return found

    def state_dict(self) -> dict[str, Any]:
        """Where the latest epoch stands: batches handed out, its seed, its generators at its start.

        Plain numbers, for any file. Loaded into an equal loader, the next ``iter()`` goes on with
        exactly the batches that were left. Epochs after that one follow ``generator`` if the loader
        has one, else the global generator, whose state the caller keeps. Streams are resumed by
        reading and dropping the batches already had.
        """
        if self._resume is not None:
            return {**self._resume, "generators": [dict(s) for s in self._resume["generators"]]}
        if self._epoch is None or self._epoch.finished:
            states = [generator.get_state() for generator in self._generators()]
            return {"position": 0, "seed": None, "generators": states, "batches": self._batches()}
        return {
            "position": self._epoch.position,
            "seed": self._epoch.seed,
            "generators": [dict(state) for state in self._epoch_states],
            "batches": self._batches(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Make the next ``iter()`` continue a ``state_dict()``.

        Raises ValueError where that one's loader had another number of batches or generators.
        """
        found = (state_dict["batches"], len(state_dict["generators"]))
        expected = (self._batches(), len(self._generators()))
        if found != expected:
            raise error(
                ValueError,
                "DataLoader.load_state_dict: the state is another loader's, got batches, "
                f"generators = {found}, expected {expected}",
            )
        self._resume = dict(state_dict)

    def _batches(self) -> int | None:
        """The number of batches, None where it isn't known."""
        try:
            return len(self)
        except (TypeError, NotImplementedError):
            return None


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    if num_workers < 0:
        raise error(
            ValueError,
            "num_workers option should be non-negative; use num_workers=0 to load in the caller's "
            f"thread, got num_workers={num_workers}",
        )
    if timeout < 0:
        raise error(ValueError, f"timeout option should be non-negative, got timeout={timeout}")
    if prefetch_factor is not None and prefetch_factor <= 0:
        raise error(ValueError, f"prefetch_factor option should be positive, got {prefetch_factor}")
    if num_workers == 0:
        needing = {
            "prefetch_factor": prefetch_factor is not None,
            "persistent_workers": persistent_workers,
            "timeout": timeout > 0,
        }
        for name, given in needing.items():
            if given:
                raise error(ValueError, f"{name} option needs num_workers > 0, got num_workers=0")
