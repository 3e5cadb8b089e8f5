"""Pools and convolutions of drawn geometries give PyTorch's values, indices, gradients, refusals.

One draw covers kernel, stride, padding, dilation, ceil_mode, groups, divisors, sizes, memory order,
dtype, batched and unbatched images, and now and then a setting that must be refused.
LUCIDLITE_TEST_ALL=1 draws ten times as many.
"""

import random
from collections import Counter

import pytest
from geometry_cases import OPS, check_case, draw_case
from parity import TEST_ALL

pytest.importorskip("torch", reason="compares with PyTorch")

BLOCKS = 10
PER_BLOCK = 400 if TEST_ALL else 40

CHOSEN = [
    {"op": op, "shape": shape, "settings": settings}
    for op, shape, settings in (
        # ceil_mode and padding at once, on the odd sizes where libraries disagree.
        ("avg_pool2d", (2, 3, 7, 5), dict(kernel_size=2, stride=3, padding=1, ceil_mode=True)),
        ("max_pool2d", (2, 3, 7, 5), dict(kernel_size=3, stride=2, padding=1, ceil_mode=True)),
        # A kernel of more than 256 taps: offsets don't fit one byte.
        ("max_pool2d", (1, 2, 19, 21), dict(kernel_size=17, stride=1, return_indices=True)),
        ("avg_pool2d", (2, 64, 56, 56), dict(kernel_size=2)),
        ("adaptive_avg_pool2d", (2, 64, 10, 20), dict(output_size=(1, 7))),
        ("adaptive_max_pool2d", (2, 3, 10, 20), dict(output_size=(3, 7), return_indices=True)),
    )
] + [
    {"op": "conv2d", "shape": shape, "weight": weight, "bias": weight[0], "settings": settings}
    for shape, weight, settings in (
        # Depthwise with a multiplier, and a kernel as large as the image.
        ((2, 4, 9, 8), (8, 1, 3, 3), dict(groups=4, stride=2, padding=1)),
        ((3, 5, 6, 7), (4, 5, 6, 7), {}),
        # Enough channels, rows and images for every way the kernels cut the work.
        ((4, 32, 16, 16), (48, 32, 3, 3), dict(padding=1)),
        ((2, 64, 14, 14), (64, 64, 1, 1), {}),
        ((2, 3, 40, 40), (16, 3, 7, 7), dict(stride=2, padding=3)),
    )
]


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("op", OPS)
def test_drawn_calls_follow_torch(op, block):
    refused = Counter()
    for number in range(block * PER_BLOCK, (block + 1) * PER_BLOCK):
        case = draw_case(random.Random(f"{op} {number}").choice, op)
        refused[check_case(case)] += 1
    # The draw is worth something: most calls run, and some are refused.
    assert refused[False] >= PER_BLOCK // 3
    assert sum(refused.values()) == PER_BLOCK


@pytest.mark.parametrize("op", OPS)
def test_searched_calls_follow_torch(op):
    """The same draw, steered by hypothesis: it shrinks what it finds to the smallest call."""
    hypothesis = pytest.importorskip("hypothesis", reason="draws the geometries")
    from hypothesis import strategies

    @hypothesis.settings(
        deadline=None,
        derandomize=not TEST_ALL,
        database=None,
        max_examples=1000 if TEST_ALL else 40,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategies.data())
    def search(data):
        def choose(options):
            return data.draw(strategies.sampled_from(list(options)))

        check_case(draw_case(choose, op))

    search()


@pytest.mark.parametrize(
    "case",
    CHOSEN,
    ids=lambda case: f"{case['op']}-{'x'.join(map(str, case['shape']))}",
)
@pytest.mark.parametrize("layout", ["contiguous", "conv"])
def test_chosen_calls_follow_torch(case, layout):
    drawn = {"dtype": "float32", "layout": layout, "seed": 1, "ties": False}
    assert check_case({**drawn, **case}) is False
