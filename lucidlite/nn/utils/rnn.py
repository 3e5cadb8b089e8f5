"""Sequences of different lengths in one batch: padded, or packed without the padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lucidlite.callsite import error
from lucidlite.ops import packing
from lucidlite.ops.indexing import index_select
from lucidlite.ops.join import cat, stack
from lucidlite.tensor import Tensor


class PackedSequence_(NamedTuple):
    """The fields of a PackedSequence."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """Sequences of a batch without padding: step after step, of those that go on that far.

    ``data`` (total length, ...) are the steps, ``batch_sizes`` (on the CPU) how many sequences
    each step has, the longest first; ``sorted_indices`` say where they stood in the batch and
    ``unsorted_indices`` lead back. Made by ``pack_sequence`` and ``pack_padded_sequence``, taken
    by ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU``. Semantics: torch.nn.utils.rnn.PackedSequence.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:  # both in one, as PyTorch allows
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes.device.type != "cpu":
            raise error(
                ValueError,
                "PackedSequence: batch_sizes should always be on CPU, "
                f"got {batch_sizes.device}; use pack_sequence or pack_padded_sequence",
            )
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with its data, and its indices, moved or converted."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        indices = (
            None if i is None else i.to(data.device)
            for i in (self.sorted_indices, self.unsorted_indices)
        )
        return type(self)(data, self.batch_sizes, *indices)

    def cuda(self, device: Any = None) -> PackedSequence: return self.to(device or "cuda")
    def cpu(self) -> PackedSequence: return self.to("cpu")
    def double(self) -> PackedSequence: return self._with(self.data.double())
    def float(self) -> PackedSequence: return self._with(self.data.float())
    def half(self) -> PackedSequence: return self._with(self.data.half())
    def long(self) -> PackedSequence: return self._with(self.data.long())
    def int(self) -> PackedSequence: return self._with(self.data.int())
    def is_pinned(self) -> bool: return self.data.is_pinned()
    def pin_memory(self) -> PackedSequence: return self._with(self.data.pin_memory())

    def _with(self, data: Tensor) -> PackedSequence:
        return type(self)(data, *self[1:])

    @property
    def is_cuda(self) -> bool:
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """Where each number stands in a permutation."""
    return None if permutation is None else packing.inverse(permutation)


def pad_sequence(
    sequences: Tensor | Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L, ...) of different lengths as (longest, B, ...), or (B, longest, ...).

    >>> import lucidlite
    >>> from lucidlite.nn.utils.rnn import pad_sequence
    >>> pad_sequence([lucidlite.tensor([1, 2, 3]), lucidlite.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])

    Semantics: torch.nn.utils.rnn.pad_sequence.
    """
    if not isinstance(sequences, (Tensor, Iterable)):
        raise error(
            RuntimeError,
            "pad_sequence: Expected iterable for input sequences, but got arg of type: "
            f"{type(sequences)}",
        )
    listed = list(sequences)
    if not listed:
        raise error(RuntimeError, "pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise error(
            RuntimeError,
            "pad_sequence: Expected padding_side to be one of left or right, "
            f"but got {padding_side}",
        )
    first, longest = listed[0], max(s.size(0) for s in listed)
    rows = []
    for sequence in listed:
        if tuple(sequence.shape[1:]) != tuple(first.shape[1:]):
            raise error(
                RuntimeError,
                "pad_sequence: sizes after the first must be equal, "
                f"got {tuple(first.shape)} and {tuple(sequence.shape)}",
            )
        missing = longest - sequence.size(0)
        row = sequence.to(first.dtype)
        if missing:
            rest = first.new_full((missing, *first.shape[1:]), padding_value)
            row = cat([row, rest] if padding_side == "right" else [rest, row])
        rows.append(row)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences of a padded batch. Semantics: torch.nn.utils.rnn.unpad_sequence."""
    batch = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    sizes = packing.on_host(lengths).tolist()
    return [sequence[:length] for sequence, length in zip(batch, sizes, strict=True)]


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | Sequence[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """A padded batch (T, B, ...), or (B, T, ...), without what lies beyond each length.

    ``lengths`` (B) on the CPU, decreasing unless ``enforce_sorted`` is False.

    Semantics: torch.nn.utils.rnn.pack_padded_sequence.
    """
    return PackedSequence(*packing.packed(input, lengths, batch_first, enforce_sorted))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded batch of a packed one, in its first order, and the lengths.

    ``total_length`` steps, if given. Semantics: torch.nn.utils.rnn.pad_packed_sequence.
    """
    sizes = sequence.batch_sizes
    out, lengths = packing.padded(sequence.data, sizes, batch_first, padding_value, total_length)
    order = sequence.unsorted_indices
    if order is None:
        return out, lengths
    return index_select(out, 0 if batch_first else 1, order), lengths[order.cpu()]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences of different lengths, packed. Semantics: torch.nn.utils.rnn.pack_sequence."""
    lengths = [s.size(0) for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences that were packed. Semantics: torch.nn.utils.rnn.unpack_sequence."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
