"""Calls of drawn geometries of what works on places: PyTorch's values, gradients and refusals.

LUCIDLITE_TEST_ALL=1 draws ten times as many.
"""

import random
from collections import Counter

import pytest
from parity import TEST_ALL
from space_geometry import OPS, Draw, check

pytest.importorskip("torch", reason="compares with PyTorch")

COUNT = 600 if TEST_ALL else 60


@pytest.mark.parametrize("op", OPS)
def test_drawn_calls_follow_torch(op):
    refused = Counter()
    for number in range(COUNT):
        refused[check(Draw(random.Random(f"{op} {number}").choice, op))] += 1
    assert refused[False] >= COUNT // 3
