"""An ONNX file held against the model it was made of, in onnxruntime."""

from __future__ import annotations

import numpy as np

from lucidlite.callsite import error
from lucidlite.onnx.run import Run


def verify_file(content: bytes, run: Run, others: list[Run]) -> None:
    """Run the file on the inputs of these runs; RuntimeError where it gives other outputs."""
    try:
        import onnxruntime
    except ImportError:
        raise error(
            ImportError,
            "onnx.export: verify=True runs the file in onnxruntime: "
            "pip install 'lucidlite[onnxruntime]'",
        ) from None
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for each in (run, *others):
        given = each.given
        wanted = {each.name for each in session.get_inputs()}
        got = session.run(
            list(each.outputs), {name: given[name] for name in given if name in wanted}
        )
        for (name, ours), found in zip(each.held.items(), got, strict=True):
            if not np.allclose(ours, found, rtol=1e-3, atol=1e-5, equal_nan=True):
                far = float(np.max(np.abs(ours.astype(float) - found.astype(float))))
                raise error(
                    RuntimeError,
                    f"onnx.export: onnxruntime's {name} differs from the model's by {far:.3g}; "
                    "nothing was written",
                )
