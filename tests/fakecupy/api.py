"""What the stand-in has of CuPy: names out of api.json, which make_api.py takes from CuPy itself.

test_cupy_api.py holds the stand-in to it, and api.json to the CuPy that is installed, if one is.
"""

from __future__ import annotations

import json
from pathlib import Path

API = json.loads(Path(__file__).with_name("api.json").read_text(encoding="utf-8"))


def _words(text: str) -> list[str]:
    return text.split()


# The functions lucidlite may call, with their parameters.
FUNCTIONS: dict[str, str] = {
    name: API["modules"]["cupy"][name]
    for name in _words("""
        all allclose amax amin any arange argmax argmin argsort array array_equal asarray
        ascontiguousarray asnumpy bincount broadcast_to clip concatenate count_nonzero
        cumprod cumsum diagonal diff dot einsum empty empty_like expand_dims eye flip full
        full_like isclose linspace matmul max mean median min moveaxis nansum nonzero ones
        ones_like outer pad prod put_along_axis ravel repeat reshape roll round searchsorted
        sort split squeeze stack std sum swapaxes take take_along_axis tensordot tile trace
        transpose tril triu unique var where zeros zeros_like
    """)
}

UFUNCS = _words("""
    abs absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh add bitwise_and bitwise_not
    bitwise_or bitwise_xor cbrt ceil copysign cos cosh divide equal exp exp2 expm1 fabs float_power
    floor floor_divide fmax fmin fmod greater greater_equal heaviside hypot invert isfinite isinf
    isnan ldexp left_shift less less_equal log log10 log1p log2 logaddexp
    logaddexp2 logical_and logical_not
    logical_or logical_xor maximum minimum mod multiply negative nextafter not_equal positive power
    reciprocal remainder right_shift rint sign signbit sin sinc sinh sqrt square subtract tan tanh
    true_divide trunc
""")

# Attributes of ndarray: methods that compute, methods that may return a view.
METHODS = _words("""
    all any argmax argmin argsort clip cumprod cumsum diagonal dot flatten max mean min prod repeat
    round searchsorted std sum take trace var
""")
VIEWS = _words("ravel reshape squeeze swapaxes transpose view")

# Operators, as their special methods are named.
ARITHMETIC = _words("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift")
COMPARISONS = _words("lt le gt ge eq ne")

# Names that are NumPy's own objects in CuPy too.
SHARED = _words("""
    bool_ dtype e finfo float16 float32 float64 iinfo inf int16 int32 int64 int8 nan newaxis pi
    promote_types uint16 uint32 uint64 uint8 issubdtype
""")

# The parameters of methods.
PARAMETERS: dict[str, str] = API["classes"]["ndarray"]

# What atomicAdd is there for.
ATOMIC = {"float16", "float32", "float64", "int32", "int64", "uint32", "uint64"}
