"""The exceptions CuPy raises, under CuPy's names and with the messages of the CUDA libraries."""

from __future__ import annotations

from typing import Any

RUNTIME = {
    1: "cudaErrorInvalidValue: invalid argument",
    2: "cudaErrorMemoryAllocation: out of memory",
    101: "cudaErrorInvalidDevice: invalid device ordinal",
    600: "cudaErrorNotReady: device not ready",
    700: "cudaErrorIllegalAddress: an illegal memory access was encountered",
    900: "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing",
    901: "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during "
    "capture",
    904: "cudaErrorStreamCaptureUnjoined: capturing stream has unjoined work",
    906: "cudaErrorStreamCaptureImplicit: operation would make the legacy stream depend on a "
    "capturing blocking stream",
}
DRIVER = {
    1: "CUDA_ERROR_INVALID_VALUE: invalid argument",
    500: "CUDA_ERROR_NOT_FOUND: named symbol not found",
}


class CUDARuntimeError(RuntimeError):
    """Of cupy.cuda.runtime."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(RUNTIME[status])


class CUDADriverError(RuntimeError):
    """Of cupy.cuda.driver."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(DRIVER[status])


class CompileException(Exception):
    """Of cupy.cuda.compiler: a source that NVRTC refuses."""

    def __init__(self, msg: str, source: str, name: str = "kernel.cu", options: Any = (),
                 backend: str = "nvrtc") -> None:  # fmt: skip
        self._msg, self.source, self.name = msg, source, name
        self.options, self.backend = options, backend
        super().__init__(msg)

    def get_message(self) -> str:
        return self._msg

    def __str__(self) -> str:
        return self._msg


class OutOfMemoryError(MemoryError):
    """Of cupy.cuda.memory."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        so_far = f"(allocated so far: {total:,} bytes"
        text = f"{so_far}, limit set to: {limit:,} bytes)" if limit else f"{so_far})"
        super().__init__(f"Out of memory allocating {size:,} bytes {text}.")


class StandInError(RuntimeError):
    """What would go wrong on a GPU without a word."""
