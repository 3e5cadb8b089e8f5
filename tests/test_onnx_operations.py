"""Every row of cases.py as a model: equal to ours in onnxruntime, or refused by name.

The gate takes a slice of the rows, LUCIDLITE_TEST_ALL=1 all of them.
"""

from __future__ import annotations

import pytest
from cases import CASES
from onnx_agreement import Function, close, ours, theirs
from parity import TEST_ALL

import lucidlite

pytest.importorskip("onnx", reason="writes ONNX files")
pytest.importorskip("onnxruntime", reason="runs ONNX files")

# Runtimes have rules of their own for NaN, infinities and empty tensors.
THEIR_OWN = """
    amin-4 any-3 argmax-4 argmin-4 hypot-1 logaddexp-0 mean-9 min-8 sign-3 sort-4
    nn.functional.hardshrink-4 nn.functional.softshrink-4 nn.functional.max_pool2d-9
    nn.functional.adaptive_avg_pool2d-5 nn.functional.prelu-6
"""
# What has no ONNX form, or not with all settings.
WITHOUT = """
    arctan2 as_strided atan2 argwhere bincount block_diag bucketize cdist copysign cummax cummin
    cumprod diag diag_embed diagflat diagonal_scatter diff erfinv heaviside histc index_add
    index_copy index_fill index_put isclose isin isreal kthvalue logaddexp2 logcumsumexp
    masked_select matrix_power median mode nanmedian nonzero one_hot put repeat_interleave
    roll round scatter scatter_reduce searchsorted select_scatter sgn signbit sinc slice_scatter
    sort unfold unique unique_consecutive where __getitem__ max min
    adaptive_max_pool2d embedding embedding_bag scaled_dot_product_attention
    batch_norm instance_norm masked_scatter new_tensor
"""
# What draws random numbers: dropout in training, and samples.
RANDOM = """
    alpha_dropout bernoulli cauchy dropout dropout1d dropout2d dropout3d exponential
    feature_alpha_dropout geometric log_normal multinomial normal rand_like
    randint_like randn_like random rrelu uniform
"""


def _plain(case):
    return case.path.rpartition(".")[2].rstrip("_") if "__" not in case.path else "__getitem__"


ROWS = [case for case in CASES if "float32" in case.dtypes and case.id not in THEIR_OWN.split()]
ROWS = ROWS if TEST_ALL else ROWS[3::8]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.id)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_row(case, tmp_path):
    arrays = case.arrays("float32")
    varied = [i for i, each in enumerate(arrays)
              if each.dtype.kind == "f" and not case.inputs[i].constant]  # fmt: skip
    varied = varied or list(range(len(arrays)))
    if not varied:
        pytest.skip("takes no tensor")

    def function(*given):
        tensors = [lucidlite.from_numpy(each.copy()) for each in arrays]
        for i, tensor in zip(varied, given, strict=True):
            tensors[i] = tensor
        return case.run(lucidlite, tensors)

    def inputs():
        return [lucidlite.from_numpy(arrays[i].copy()) for i in varied]

    model, path = Function(function), tmp_path / "m.onnx"
    try:
        expected = ours(model, *inputs())
        assert all(hasattr(each, "dtype") for each in expected)
    except (AssertionError, AttributeError):
        pytest.skip("gives no tensor")
    refused = ""
    try:
        lucidlite.onnx.export(model, tuple(inputs()), path)
    except (NotImplementedError, TypeError) as problem:
        refused = str(problem)
    if "returns tensors" in refused:
        pytest.skip("gives no tensor")
    if refused:
        assert "has no ONNX form" in refused
        assert "\n  at " in refused
        assert _plain(case) in (WITHOUT + RANDOM).split()
        return
    close(theirs(path, *inputs()), expected)
