"""Whole networks keep conv layout: what is laid out anew is counted, what users see is plain."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
from counting import Training, in_one_thread, kernel_calls, order_copies, strays

import lucidlite
from lucidlite import nn

F = nn.functional
NETS = ["CNNWithGAP", "LeNet", "ResNet8"]
BATCH = 8

# What kernels may meet in another order: the user's images, in the first convolution's forward and
# backward, and what lies around LeNet's flatten.
STRAYS = {
    "CNNWithGAP": [("conv2d", (BATCH, 3, 32, 32)), ("conv2d_backward", (BATCH, 3, 32, 32))],
    "LeNet": [
        ("conv2d", (BATCH, 1, 28, 28)),
        ("contiguous", (BATCH, 64, 7, 7)),
        ("try_view", (BATCH, 64, 7, 7)),
        ("max_pool2d_input_grad", (BATCH, 64, 7, 7)),
        ("conv2d_backward", (BATCH, 1, 28, 28)),
    ],
    "ResNet8": [("conv2d", (BATCH, 3, 32, 32)), ("conv2d_backward", (BATCH, 3, 32, 32))],
}
# The largest number of elements that may be copied for the sake of order in a step: the images
# once or twice, the flattened features forward and back, the weights.
IMAGES = {"CNNWithGAP": 3 * 32 * 32, "LeNet": 28 * 28, "ResNet8": 3 * 32 * 32}


@pytest.fixture(autouse=True)
def alone():
    with in_one_thread():
        yield


@pytest.fixture(params=NETS)
def training(request):
    return Training(request.param, BATCH).warmed()


def name_of(training):
    return type(training.model).__name__


# -- nothing is laid out anew ----------------------------------------------------------------------


def test_kernels_hand_each_other_images_in_their_own_order(training):
    with kernel_calls() as calls:
        training.step()
    assert strays(calls, training.model) == STRAYS[name_of(training)]


def test_what_is_copied_for_order_is_little(training):
    """Images at the door and features at the flatten; within the network, weights alone."""
    weights = {p.numel() for p in training.model.parameters()}
    with order_copies() as made:
        training.step()
    sizes = [int(np.prod(shape)) for shape in made]
    images = BATCH * IMAGES[name_of(training)]
    door = [size for size in sizes if size == images]
    assert len(door) <= 2
    features = BATCH * 64 * 7 * 7 if name_of(training) == "LeNet" else 0
    flatten = [size for size in sizes if size == features]
    assert len(flatten) <= 2
    rest = [size for size in sizes if size not in (images, features) and size not in weights]
    assert sum(rest) <= sum(weights) + BATCH * 64 * 8 * 8  # a broadcast gradient is written out


def test_evaluation_is_not_laid_out_anew(training):
    training.model.eval()
    with lucidlite.no_grad(), kernel_calls() as calls:
        training.model(training.x)
    forward = [stray for stray in STRAYS[name_of(training)] if "_" not in stray[0]]
    assert strays(calls, training.model) == forward


class PlainReLU(nn.Module):
    """As if somebody's kernel returned row-major images."""

    def forward(self, x):
        return F.relu(x).contiguous()


def test_a_layer_that_leaves_the_order_is_noticed():
    def build():
        model = lucidlite.models.CNNWithGAP()
        model.features[1] = PlainReLU()
        return model

    training = Training("CNNWithGAP", BATCH, build).warmed()
    with kernel_calls() as calls:
        training.step()
    assert len(strays(calls, training.model)) > len(STRAYS["CNNWithGAP"])
    with order_copies() as made:
        training.step()
    assert any(int(np.prod(shape)) == BATCH * 64 * 32 * 32 for shape in made)


# -- what users see --------------------------------------------------------------------------------


def activations(training):
    """(the layer's name, its output) of every layer but the classifier."""
    seen = []
    handles = [
        module.register_forward_hook(lambda _m, _a, y, name=name: seen.append((name, y)))
        for name, module in training.model.named_modules()
        if not list(module.children())
    ]
    with lucidlite.no_grad():
        training.model(training.x)
    for handle in handles:
        handle.remove()
    return seen


def test_activations_look_as_if_they_were_row_major(training, tmp_path):
    for name, y in activations(training):
        array = y.detach().numpy()
        plain = lucidlite.from_numpy(np.ascontiguousarray(array))
        y = y.detach()
        assert y.is_contiguous() == y.array.flags.c_contiguous, name
        assert y.stride() == tuple(s // 4 for s in y.array.strides)
        assert repr(y) == repr(plain)
        assert y.flatten(1).numpy().tobytes() == plain.numpy().tobytes()
        assert y.reshape(-1).numpy().tobytes() == plain.numpy().tobytes()
        assert y.clone().view(BATCH, -1).numpy().tobytes() == plain.numpy().tobytes()
        assert y.contiguous().is_contiguous()
        assert copy.deepcopy(y).numpy().tobytes() == plain.numpy().tobytes()
        assert list(y[0].flatten()[:3].tolist()) == plain[0].flatten()[:3].tolist()
        assert int(y.argmax()) == int(plain.argmax())
        viewed = name_of(training) == "LeNet" and name == "features.5"  # in place, by flatten
        if y.dim() == 4 and y.shape[2] * y.shape[3] > 1 and not viewed:
            assert y.backend.in_conv_layout(y.array), name
            assert not y.is_contiguous(), name
    lucidlite.save({name: y.detach() for name, y in activations(training)}, tmp_path / "a")
    loaded = lucidlite.load(tmp_path / "a")
    for name, y in activations(training):
        np.testing.assert_array_equal(loaded[name].numpy(), y.detach().numpy())
        assert loaded[name].is_contiguous()


def test_a_view_of_what_a_layer_returned_sees_its_memory(training):
    for _, y in activations(training):
        y = y.detach().clone()
        flat = y.view(-1)
        assert flat.numpy().tobytes() == np.ascontiguousarray(y.numpy()).tobytes()
        flat[1] = 7.0
        assert y.flatten()[1].item() == 7.0


def test_all_that_is_stored_is_row_major(training):
    """Parameters, gradients, momentum, running statistics, and the file."""
    model, optimizer = training.model, training.optimizer
    buffers = [state["momentum_buffer"] for state in optimizer.state.values()]
    for tensor in (*model.parameters(), *model.buffers(), *buffers):
        assert tensor.is_contiguous()
    for parameter in model.parameters():
        assert parameter.grad.is_contiguous()
        assert parameter.view(-1).shape == (parameter.numel(),)
        assert parameter.grad.view(-1).shape == (parameter.numel(),)
    for tensor in model.state_dict().values():
        assert tensor.is_contiguous()
    file = io.BytesIO()
    lucidlite.save(model.state_dict(), file)
    content = file.getvalue()
    for tensor in model.state_dict().values():
        if tensor.numel() > 100:
            assert np.ascontiguousarray(tensor.numpy()).tobytes() in content


def test_images_in_any_order_give_the_same_losses(training):
    """The user's images may be views of any kind."""
    x = training.x.numpy()
    expected = training.forward().item()
    turned = np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)  # conv layout
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    wide = np.zeros((*x.shape[:3], 2 * x.shape[3]), np.float32)
    wide[..., ::2] = x
    for other in (turned, channels_last, np.asfortranarray(x), wide[..., ::2]):
        training.model.load_state_dict(training.model.state_dict())
        training.x = lucidlite.from_numpy(other)
        np.testing.assert_array_equal(training.x.numpy(), x)
        loss = training.forward()
        assert loss.item() == pytest.approx(expected, rel=1e-6)
        loss.backward()


def test_images_in_conv_layout_are_not_copied():
    training = Training("CNNWithGAP", BATCH).warmed()
    turned = np.ascontiguousarray(training.x.numpy().transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    training.x = lucidlite.from_numpy(turned)
    with kernel_calls() as calls:
        training.step()
    assert strays(calls, training.model) == []
