"""Tensors and other libraries' arrays: the same memory through NumPy and DLPack, both ways."""

from __future__ import annotations

import numpy as np
import pytest

import lucidlite

DTYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)], ids=str)
def test_numpy_sees_the_memory(dtype, shape):
    x = lucidlite.ones(shape, dtype=getattr(lucidlite, dtype))
    for array in (np.asarray(x), np.from_dlpack(x), x.numpy()):
        assert array.dtype == dtype
        assert array.shape == shape
        x.zero_()
        assert not array.any()
        x.fill_(1)
        assert array.all()


def test_array_protocol():
    x = lucidlite.tensor([1.5, 2.5])
    assert np.asarray(x, dtype=np.int64).tolist() == [1, 2]
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.add(np.ones(2), x.numpy()).tolist() == [2.5, 3.5]
    assert np.stack([x, x]).shape == (2, 2)
    with pytest.raises(RuntimeError, match=r"requires grad.*detach"):
        np.asarray(x.requires_grad_())


@pytest.mark.parametrize("dtype", DTYPES)
def test_from_dlpack_shares_numpy_s_memory(dtype):
    array = np.ones((2, 3), dtype)
    x = lucidlite.from_dlpack(array)
    assert x.dtype is getattr(lucidlite, dtype)
    x.zero_()
    assert not array.any()


def test_from_dlpack_of_views():
    array = np.arange(12.0).reshape(3, 4)
    for view in (array.T, array[::2], array[:, 1:3]):
        x = lucidlite.from_dlpack(view)
        assert x.tolist() == view.tolist()
        assert np.shares_memory(x.array, array)


def test_from_dlpack_of_a_tensor():
    x = lucidlite.ones(2)
    y = lucidlite.from_dlpack(x)
    assert y is not x
    assert y.data_ptr() == x.data_ptr()
    assert lucidlite.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    assert lucidlite.from_dlpack(x, copy=False).data_ptr() == x.data_ptr()
    with pytest.raises(BufferError, match=r"require gradient.*detach"):
        lucidlite.from_dlpack(x.requires_grad_())


def test_from_dlpack_refuses():
    with pytest.raises(RuntimeError, match=r"__dlpack__.*got int\n  at .*test_interop\.py"):
        lucidlite.from_dlpack(5)
    with pytest.raises(RuntimeError, match="capsule alone is not read"):
        lucidlite.from_dlpack(np.ones(2).__dlpack__())
    with pytest.raises(TypeError, match="uint32"):
        lucidlite.from_dlpack(np.ones(2, np.uint32))

    class Elsewhere:
        def __dlpack__(self, **_):
            raise NotImplementedError

        def __dlpack_device__(self):
            return (8, 0)

    with pytest.raises(RuntimeError, match="DLPack device type 8"):
        lucidlite.from_dlpack(Elsewhere())


def test_asarray():
    array, x = np.ones(2, np.float32), lucidlite.ones(2)
    assert np.shares_memory(lucidlite.asarray(array).numpy(), array)
    assert not np.shares_memory(lucidlite.asarray(array, copy=True).numpy(), array)
    assert lucidlite.asarray(x) is x
    assert lucidlite.asarray([1, 2]).tolist() == [1, 2]
    assert lucidlite.asarray(array, requires_grad=True).requires_grad
    assert lucidlite.asarray(x, dtype=lucidlite.float64).dtype is lucidlite.float64
    for given, named in (([1, 2], {}), (x, {"dtype": lucidlite.float64})):
        with pytest.raises(ValueError, match="copy=False"):
            lucidlite.asarray(given, copy=False, **named)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_both_ways(dtype):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    theirs = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    ours = lucidlite.from_dlpack(theirs)
    assert repr(ours) == repr(theirs)
    ours.zero_()
    assert not theirs.any()
    back = torch.from_dlpack(ours)
    assert back.data_ptr() == theirs.data_ptr()
    assert torch.as_tensor(ours.numpy()).data_ptr() == theirs.data_ptr()
    assert torch.from_numpy(np.asarray(ours)).data_ptr() == theirs.data_ptr()
    assert lucidlite.asarray(theirs).data_ptr() == theirs.data_ptr()
    assert lucidlite.from_numpy(theirs.numpy()).data_ptr() == theirs.data_ptr()


def test_cupy_both_ways(cuda):
    """On a GPU, or on the stand-in: through CuPy's own from_dlpack."""
    x = lucidlite.arange(6.0, device=cuda).reshape(2, 3)
    assert x.__dlpack_device__() == (2, 0)
    y = lucidlite.from_dlpack(Foreign(x))
    assert y.device == x.device
    assert y.data_ptr() == x.data_ptr()
    y.zero_()
    assert x.sum().item() == 0
    host = lucidlite.from_dlpack(Foreign(x), device="cpu")
    assert host.device.type == "cpu"
    with pytest.raises(ValueError, match="another device needs a copy"):
        lucidlite.from_dlpack(Foreign(x), device="cpu", copy=False)


class Foreign:
    """Another library's array over a tensor's memory."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **named):
        return self.tensor.__dlpack__(**named)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()
