"""The random generators that a run may draw from without being asked: where they stand."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from lucidlite.generator import default_generator


def generator_states() -> dict[str, Any]:
    """Where the default generator, Python's and NumPy's global ones stand, as data to be saved.

    The default one serves every device. The others are for transforms and loops that draw there.
    """
    version, words, gauss = random.getstate()
    return {
        "lucidlite": default_generator.get_state(),
        "python": {"version": version, "words": np.array(words, np.uint32), "gauss": gauss},
        "numpy": np.random.get_state(legacy=False),
    }


def set_generator_states(states: dict[str, Any]) -> None:
    """Put the generators where ``generator_states`` found them."""
    default_generator.set_state(states["lucidlite"])
    python = states["python"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    np.random.set_state(states["numpy"])
