"""The cuDNN switches that scripts set. They may be set anywhere; today no kernel reads them."""

from __future__ import annotations

enabled = True  # use cuDNN where it is installed
benchmark = False  # time the algorithms of a convolution and keep the fastest
deterministic = False  # every kernel here is deterministic already
allow_tf32 = True  # let float32 convolutions on a GPU round their inputs to TF32


def is_available() -> bool:
    """Whether convolutions run through cuDNN: not yet."""
    return False


def version() -> int | None:
    """cuDNN's version, None where it isn't used."""
    return None
