"""Embedding and EmbeddingBag: tables of vectors that are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lucidlite.callsite import error
from lucidlite.creation import empty
from lucidlite.grad_mode import no_grad
from lucidlite.nn import functional as F
from lucidlite.nn import init
from lucidlite.nn.module import Module
from lucidlite.nn.parameter import Parameter
from lucidlite.ops.embedding import padding_row
from lucidlite.tensor import Tensor

if TYPE_CHECKING:
    from typing_extensions import Self


class _Table(Module):
    """What both share: ``weight`` (num_embeddings, embedding_dim), N(0, 1) at first."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    max_norm: float | None
    norm_type: float
    scale_grad_by_freq: bool
    sparse: bool

    def _fill(self, given: Tensor | None, frozen: bool, device: Any, dtype: Any) -> None:
        """Check the settings and make the weight, or take the given one."""
        name, shape = type(self).__name__, (self.num_embeddings, self.embedding_dim)
        if self.sparse:
            raise error(
                NotImplementedError,
                f"{name}: sparse gradients are not supported, got sparse=True; use sparse=False",
            )
        if self.padding_idx is not None:
            self.padding_idx = padding_row(name, self.padding_idx, shape[0])
        if given is not None and tuple(given.shape) != shape:
            raise error(
                AssertionError,
                f"{name}: Shape of weight does not match num_embeddings and embedding_dim, "
                f"got {tuple(given.shape)} and {shape}",
            )
        weight = empty(*shape, device=device, dtype=dtype) if given is None else given
        self.weight = Parameter(weight, requires_grad=not frozen)
        if given is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight anew; the row ``padding_idx`` is zeros."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self) -> None:
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)


def _rows_of(kind: str, embeddings: Tensor) -> tuple[int, int]:
    if embeddings.dim() != 2:
        raise error(
            AssertionError,
            f"{kind}: Embeddings parameter is expected to be 2-dimensional, "
            f"got shape={tuple(embeddings.shape)}",
        )
    return embeddings.size(0), embeddings.size(1)


class Embedding(_Table):
    """A vector for each of ``num_embeddings`` numbers: see ``functional.embedding``.

    Weight (num_embeddings, embedding_dim) starts as N(0, 1), its row ``padding_idx`` as zeros.

    >>> import lucidlite
    >>> lucidlite.nn.Embedding(10, 3)(lucidlite.tensor([[1, 2], [4, 5]])).shape
    (2, 2, 3)

    Semantics: torch.nn.Embedding, without sparse gradients.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self._fill(_weight, _freeze, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer that sees the memory of ``embeddings``, not to be trained if ``freeze``."""
        rows, width = _rows_of(cls.__name__, embeddings)
        return cls(
            rows,
            width,
            padding_idx,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            sparse,
            embeddings,
            freeze,
        )

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        usual = {"padding_idx": None, "max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        for name, value in usual.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)}"
        return text


class EmbeddingBag(_Table):
    """The sum, mean or maximum of each bag's vectors: see ``functional.embedding_bag``.

    >>> import lucidlite
    >>> bags, offsets = lucidlite.tensor([1, 2, 4, 5, 4]), lucidlite.tensor([0, 2])
    >>> lucidlite.nn.EmbeddingBag(10, 3, mode="sum")(bags, offsets).shape
    (2, 3)

    Semantics: torch.nn.EmbeddingBag, without sparse gradients.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.padding_idx = padding_idx
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self._fill(_weight, False, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A layer that sees the memory of ``embeddings``, not to be trained if ``freeze``."""
        rows, width = _rows_of(cls.__name__, embeddings)
        made = cls(
            rows,
            width,
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            embeddings,
            include_last_offset,
            padding_idx,
        )
        made.weight.requires_grad = not freeze
        return made

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        usual = {"max_norm": None, "norm_type": 2, "scale_grad_by_freq": False}
        for name, value in usual.items():
            if getattr(self, name) != value:
                text += f", {name}={getattr(self, name)!r}"
        text += f", mode={self.mode!r}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx!r}"
