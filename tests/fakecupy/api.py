"""What CuPy 14 has: the functions lucidlite may call with their arguments, ufuncs and attributes.

test_fakecupy.py compares the tables with a real CuPy where one is installed.
"""

FUNCTIONS = {
    "all": "a axis out keepdims",
    "allclose": "a b rtol atol equal_nan",
    "amax": "a axis out keepdims",
    "amin": "a axis out keepdims",
    "any": "a axis out keepdims",
    "arange": "start stop step dtype",
    "argmax": "a axis dtype out keepdims",
    "argmin": "a axis dtype out keepdims",
    "argsort": "a axis kind",
    "array": "obj dtype copy order subok ndmin blocking",
    "array_equal": "a1 a2 equal_nan",
    "asarray": "a dtype order copy blocking",
    "ascontiguousarray": "a dtype",
    "asnumpy": "a stream order out blocking",
    "bincount": "x weights minlength",
    "broadcast_to": "array shape",
    "clip": "a a_min a_max out",
    "concatenate": "tup axis out dtype casting",
    "count_nonzero": "a axis",
    "cumprod": "a axis dtype out",
    "cumsum": "a axis dtype out",
    "diagonal": "a offset axis1 axis2",
    "diff": "a n axis prepend append",
    "dot": "a b out",
    "einsum": "*operands **kwargs",
    "empty": "shape dtype order",
    "empty_like": "prototype dtype order subok shape",
    "expand_dims": "a axis",
    "eye": "N M k dtype order",
    "flip": "a axis",
    "full": "shape fill_value dtype order",
    "full_like": "a fill_value dtype order subok shape",
    "isclose": "a b rtol atol equal_nan",
    "linspace": "start stop num endpoint retstep dtype axis",
    "matmul": "*args axes axis keepdims casting dtype signature order out",
    "max": "a axis out keepdims",
    "mean": "a axis dtype out keepdims",
    "median": "a axis out overwrite_input keepdims",
    "min": "a axis out keepdims",
    "moveaxis": "a source destination",
    "nansum": "a axis dtype out keepdims",
    "nonzero": "a",
    "ones": "shape dtype order",
    "ones_like": "a dtype order subok shape",
    "outer": "a b out",
    "pad": "array pad_width mode **kwargs",
    "prod": "a axis dtype out keepdims",
    "put_along_axis": "arr indices values axis",
    "ravel": "a order",
    "repeat": "a repeats axis",
    "reshape": "a newshape order copy",
    "roll": "a shift axis",
    "round": "a decimals out",
    "searchsorted": "a v side sorter",
    "sort": "a axis kind",
    "split": "ary indices_or_sections axis",
    "squeeze": "a axis",
    "stack": "tup axis out dtype casting",
    "std": "a axis dtype out ddof keepdims",
    "sum": "a axis dtype out keepdims",
    "swapaxes": "a axis1 axis2",
    "take": "a indices axis out",
    "take_along_axis": "a indices axis",
    "tensordot": "a b axes",
    "tile": "A reps",
    "trace": "a offset axis1 axis2 dtype out",
    "transpose": "a axes",
    "tril": "m k",
    "triu": "m k",
    "unique": "ar return_index return_inverse return_counts axis equal_nan",
    "var": "a axis dtype out ddof keepdims",
    "where": "condition x y",
    "zeros": "shape dtype order",
    "zeros_like": "a dtype order subok shape",
}


def _words(text: str) -> list[str]:
    return text.split()


UFUNCS = _words("""
    abs absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh add bitwise_and bitwise_not
    bitwise_or bitwise_xor cbrt ceil copysign cos cosh divide equal exp exp2 expm1 fabs float_power
    floor floor_divide fmax fmin fmod greater greater_equal heaviside hypot invert isfinite isinf
    isnan ldexp left_shift less less_equal log log10 log1p log2 logaddexp logical_and logical_not
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

# What atomicAdd is there for.
ATOMIC = {"float16", "float32", "float64", "int32", "int64", "uint32", "uint64"}
