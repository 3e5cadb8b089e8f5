"""How exact float32 matrix products on a GPU are: ``backends.cuda.matmul.allow_tf32``.

The CUDA sources of the kernels are beside this file.
"""

from __future__ import annotations

from lucidlite.callsite import error

_PRECISIONS = ("highest", "high", "medium")


class _Matmul:
    """The switches of matrix products, as ``torch.backends.cuda.matmul`` has them."""

    precision = "highest"

    @property
    def allow_tf32(self) -> bool:
        """Let float32 products round their inputs to TF32: 10 bits of mantissa, much faster."""
        return self.precision != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        self.precision = "high" if value else "highest"

    def __setattr__(self, name: str, value: object) -> None:
        if name not in ("precision", "allow_tf32"):
            raise error(
                AttributeError, f"backends.cuda.matmul: the switch is allow_tf32, got {name}"
            )
        super().__setattr__(name, value)


matmul = _Matmul()


def set_float32_matmul_precision(precision: str) -> None:
    """Choose what float32 matrix products on a GPU may round their inputs to.

    "highest" (as at the start): to nothing. "high": to TF32, 10 bits of mantissa. "medium": here
    the same as "high". On the CPU all three are exact. Convolutions have their own switch,
    ``backends.cudnn.allow_tf32``. Raises ValueError for another name.

    >>> import lucidlite
    >>> lucidlite.set_float32_matmul_precision("high")
    >>> lucidlite.backends.cuda.matmul.allow_tf32
    True
    >>> lucidlite.set_float32_matmul_precision("highest")

    Semantics: torch.set_float32_matmul_precision.
    """
    if precision not in _PRECISIONS:
        raise error(
            ValueError,
            f"set_float32_matmul_precision: precision must be one of {', '.join(_PRECISIONS)}, "
            f"got precision={precision!r}",
        )
    matmul.precision = precision


def get_float32_matmul_precision() -> str:
    """What ``set_float32_matmul_precision`` was last told, "highest" at the start.

    Semantics: torch.get_float32_matmul_precision.
    """
    return matmul.precision
