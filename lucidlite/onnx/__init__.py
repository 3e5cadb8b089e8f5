"""Models as ONNX files, which other programs run."""

from lucidlite.onnx.exporting import export

__all__ = ["export"]
