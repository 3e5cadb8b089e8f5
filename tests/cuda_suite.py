"""The whole suite with tensors on a GPU: ``LUCIDLITE_TEST_DEVICE=cuda pytest``.

Tensors that the tests make without saying where are then on the device "cuda": a GPU through CuPy
where one answers, else the stand-in. Only in that run, ``Tensor.numpy()`` brings its values to the
host, ``lucidlite.from_numpy`` takes an array to the device in the strides it has, ``repr`` doesn't
say ``device=``, and bad indices are reported at once. What has the CPU for its subject is left
out, as EXCLUDED says.

``LUCIDLITE_TEST_SLICE=3/8`` keeps the third of eight parts, the same ones every time.
"""

from __future__ import annotations

import os
import re
import sys
import zlib
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pytest

import lucidlite
from lucidlite.backends import get_backend
from lucidlite.tape import wrap

ACTIVE = os.environ.get("LUCIDLITE_TEST_DEVICE") == "cuda"

# Why, and the tests it holds for, one a line: a file, or file::test with wildcards; with a bracket,
# its parameters count.
EXCLUDED = {
    "the CPU's kernels, its threads, its allocator and how they are counted": """
        test_conv_kernels.py
        test_conv_algorithms.py
        test_elementwise_kernels.py
        test_exact_convolution.py
        test_loss_kernels.py
        test_malloc.py
        test_matmul_kernels.py
        test_norm_kernels.py
        test_optim.py::test_blocks_give_the_same_bits
        test_optim_kernels.py
        test_performance_guard.py
        test_pool_kernels.py
        test_reduce_kernels.py
        test_threads.py
        test_weight_memo.py
        test_winograd.py
        test_checklist_lucid.py::test_J6_a_large_image_without_a_matrix_of_windows
        test_fresh_gradients.py::test_relu_writes_over_the_pool_s_gradient
        test_layout.py::test_a_stray_operand_is_brought_over_once
        test_layout_network.py::test_kernels_hand_each_other_images_in_their_own_order
        test_layout_network.py::test_evaluation_is_not_laid_out_anew
        test_layout_network.py::test_a_layer_that_leaves_the_order_is_noticed
        test_layout_network.py::test_images_in_conv_layout_are_not_copied
        test_parity_training.py::test_the_models_follow_torch[*-auto]
        test_benchmarks.py::test_profile_step
    """,
    "memory that tensors share with NumPy": """
        test_creation.py::test_memory_is_shared_or_not
        test_inplace.py::test_writes_are_seen_by_numpy_and_back
        test_layout.py::test_facts
        test_layout_views.py::test_view_where_another_sees_the_memory[numpy-*]
        test_reading.py::test_tensor_copies_and_as_tensor_shares
        test_tensor.py::test_arrays_come_out
        test_interop.py
        test_recurrent_layer.py::test_arguments_stay_as_they_are
        test_aliasing.py::test_the_same_memory_as_in_pytorch[*numpy*]
        test_aliasing.py::test_the_same_memory_as_in_pytorch[*np.*]
        test_aliasing.py::test_the_same_memory_as_in_pytorch[*cpu*]
        test_wrong_uses.py::test_the_message[*numpy(*]
    """,
    "PyTorch's own samples are asked on the CPU; the table of cases runs everywhere": """
        test_opinfo.py
        test_moduleinfo.py
    """,
    "conv layout with gaps: on a GPU it has none": """
        test_layout.py::test_conv_layout_is_kept[*-crop]
    """,
    "images in memory that NumPy holds: on a GPU a crop is a view that the tape knows": """
        test_transforms_geometry.py::test_crop_of_a_tensor_is_no_second_view_of_its_memory
    """,
    "these name their devices, and run with a GPU or the stand-in in any case": """
        lucidlite/amp/autocast_mode.py
        test_autocast*.py
        test_clip_grad.py::test_gradients_on_two_devices
        test_cuda*.py
        test_cupy_*.py
        test_default_device.py
        test_gpu_check.py
        test_grad_scaler.py
        test_graphed_step.py
        test_launches.py
        test_sanitized.py
        test_fakecupy*.py
        test_same_numbers.py
        test_tutorials.py::test_tutorials_on_device
        test_embedding.py::test_on_device
        test_embedding.py::test_bags_may_be_empty_and_overlap_nothing
        test_nn_utils.py::test_vectors_on_two_devices_are_refused
        test_nn_utils.py::test_what_a_parametrized_module_is
        test_parity_tool.py
        test_recurrent.py::test_on_device
        test_recurrent_layer.py::test_launches
        test_error_places.py::test_door[numpy]
        test_error_places.py::test_what_numpy_asks_for_is_asked_by_the_user
        test_onnx_refused.py::test_a_value_that_becomes_a_number_is_warned_of[numpy]
        test_wrong_programs.py::test_program[prediction_to_numpy]
        test_watch.py::test_graphed_steps_are_not_disturbed
        test_watch.py::test_hooks_that_act_are_no_part_of_a_graphed_step
        test_watch.py::test_programs_on_a_gpu
        test_wrong_uses.py::test_two_devices
        test_wrong_programs.py::test_program[*_left_on_the_cpu]
        test_wrong_programs.py::test_program[model_moved_after_the_first_step]
    """,
    "a wrong chance is told by its shape: the value stays on the GPU, and nobody waits for it": """
        test_wrong_uses.py::test_the_message[T.bernoulli(*]
    """,
    "a place written twice: which value stays is undefined on a GPU": """
        test_indexing.py::test_written_as_in_pytorch[[1, -1]]
        test_indexing.py::test_written_as_in_pytorch[T.tensor([[0, 1], [1, 0]])]
        test_layers_space.py::test_maxima_are_put_back
    """,
    "what is printed names the device": """
        test_nn_utils.py::test_containers
    """,
    "scripts that bring their data to the CPU": """
        test_tutorials.py::test_tutorials_train_as_on_pytorch
    """,
    "no tensors: source, packages and other processes, which start on the CPU": """
        test_architecture.py
        test_packaging.py
        test_readme.py
        test_docs.py
        test_notebooks.py
        test_examples.py
        test_compatibility.py
        test_tutorials.py::test_tutorials_run_by_themselves
    """,
}


def install() -> None:
    """Everything from here on is on the GPU, or on its stand-in."""
    os.environ["LUCIDLITE_DEBUG"] = "1"  # bad indices are reported where they are used
    if not lucidlite.cuda.is_available():
        import fakecupy
        import fakecupyx

        sys.modules.update(cupy=fakecupy, cupyx=fakecupyx)
    lucidlite.set_default_device("cuda")
    lucidlite.Tensor.numpy = _numpy(lucidlite.Tensor.numpy)
    lucidlite.from_numpy = _from_numpy(lucidlite.from_numpy)
    tensors = sys.modules["lucidlite.tensor"]
    tensors.tensor_repr = _repr(tensors.tensor_repr)


def _numpy(plain: Any) -> Any:
    def numpy(self: Any, *, force: bool = False) -> Any:
        on_device = self.is_cuda and not self.requires_grad
        return plain(self.cpu() if on_device else self, force=force)

    return numpy


def _from_numpy(plain: Any) -> Any:
    def from_numpy(ndarray: Any) -> Any:
        tensor = plain(ndarray)
        backend = get_backend("cuda")
        if not ndarray.size or any(s < 0 or s % ndarray.itemsize for s in ndarray.strides):
            return tensor.to("cuda")
        steps = zip(ndarray.shape, ndarray.strides, strict=True)
        length = 1 + sum((n - 1) * s for n, s in steps) // ndarray.itemsize
        memory = np.lib.stride_tricks.as_strided(ndarray, (length,), (ndarray.itemsize,))
        there = backend.asarray(memory.copy())
        seen = backend.xp.lib.stride_tricks.as_strided(there, ndarray.shape, ndarray.strides)
        return wrap(seen, backend)

    return from_numpy


def _repr(plain: Any) -> Any:
    def tensor_repr(tensor: Any) -> str:
        return re.sub(r",\s*device='cuda:0'", "", plain(tensor))

    return tensor_repr


def patterns() -> list[str]:
    """Every line of EXCLUDED."""
    return [line.strip() for lines in EXCLUDED.values() for line in lines.strip().splitlines()]


def excluded(nodeid: str) -> bool:
    """Whether a test is left out."""
    return any(matches(nodeid.removeprefix("tests/"), pattern) for pattern in patterns())


def matches(name: str, pattern: str) -> bool:
    """Whether ``pattern`` means the test ``name``, as 'test_x.py::test_y[a-b]'."""
    if "::" not in pattern:
        return fnmatchcase(name.partition("::")[0], pattern)
    plain = name if "[" in pattern else name.partition("[")[0]
    return fnmatchcase(plain, pattern.replace("[", "[[]"))


def in_slice(nodeid: str, which: str) -> bool:
    """Whether a test belongs to the part ``which``, as '3/8'; everything to ''."""
    if not which:
        return True
    part, _, parts = which.partition("/")
    return zlib.crc32(nodeid.encode()) % int(parts) == int(part) % int(parts)


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what EXCLUDED names and what another slice runs."""
    which = os.environ.get("LUCIDLITE_TEST_SLICE", "")
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        keep = in_slice(item.nodeid, which) and not excluded(item.nodeid)
        (kept if keep else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept
