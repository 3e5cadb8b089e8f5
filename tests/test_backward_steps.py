"""backward_steps: the engine's walk handed out one node at a time, equal to ``backward``."""

from __future__ import annotations

import numpy as np
import pytest

import lucidlite
from lucidlite import nn
from lucidlite.models import CNNWithGAP
from lucidlite.stepping import dry_steps

F = nn.functional


def values(tensor):
    return None if tensor is None else tensor.detach().cpu().numpy().copy()


def cnn():
    lucidlite.manual_seed(3)
    model = CNNWithGAP(num_classes=5)
    x = lucidlite.randn(2, 3, 12, 12)
    return model, F.cross_entropy(model(x), lucidlite.tensor([1, 4]))


def mixed():
    """Views, several outputs, a sum of gradients, an unused branch and a leaf used twice."""
    x = lucidlite.arange(12.0).reshape(3, 4).requires_grad_()
    w = lucidlite.full((4,), 0.5, requires_grad=True)
    first, second, _ = (x * w).unbind(0)
    y = first.exp().sum() + (second.view(2, 2) @ first.reshape(2, 2)).sum() + w.sum()
    return [x, w], y


def taken(loss):
    """The nodes in the order ``backward`` takes them, told by its own hooks."""
    order, hooks, seen, waiting = [], [], set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        hooks.append(node.register_prehook(lambda _grads, node=node: order.append(node)))
        waiting.extend(each for each, _ in node.next_functions if each is not None)
    loss.backward(retain_graph=True)
    for hook in hooks:
        hook.remove()
    return order


def test_gradients_equal_backward_bit_for_bit():
    model, loss = cnn()
    loss.backward()
    expected = [values(p.grad) for p in model.parameters()]
    model, loss = cnn()
    nodes = [step.node for step in loss.backward_steps()]
    assert sum(node.vjp is None for node in nodes) == len(expected)
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        np.testing.assert_array_equal(values(parameter.grad), grad)


def test_order_is_the_engines():
    for make in (lambda: cnn()[1], lambda: mixed()[1]):
        loss = make()
        order = taken(loss)
        assert [step.node for step in loss.backward_steps(retain_graph=True)] == order
        assert [step.node for step in dry_steps([loss], [lucidlite.ones_like(loss)])] == order


def test_incoming_is_the_sum_of_what_was_sent():
    _, y = mixed()
    sent, visited = {}, []
    for step in y.backward_steps():
        visited.append(step.node)
        for nr, grad in enumerate(step.incoming):
            parts = sent.get((step.node, nr))
            if parts is not None:
                np.testing.assert_allclose(values(grad), sum(parts), rtol=1e-6)
        assert len(step.outgoing) == len(step.node.edges)
        for edge, grad in zip(step.node.edges, step.outgoing, strict=True):
            assert edge is not None or grad is None
            if grad is not None:
                assert tuple(grad.shape) == edge[0].metas[edge[1]][0]
                sent.setdefault(edge, []).append(values(grad))
    assert {edge[0] for edge in sent} == set(visited[1:])


def test_what_was_shown_is_not_written_to_afterwards():
    _, y = mixed()
    shown = []
    for step in y.backward_steps():
        for grad in (*step.incoming, *step.outgoing):
            if grad is not None:
                shown.append((grad, values(grad)))
    assert len(shown) > 20
    for grad, then in shown:
        np.testing.assert_array_equal(values(grad), then)


def test_pending_are_the_waiting_nodes_youngest_first():
    _, y = mixed()
    following = None
    for step in y.backward_steps():
        if following is not None:
            assert step.node is following
        numbers = [node.number for node in step.pending]
        assert numbers == sorted(numbers, reverse=True)
        following = step.pending[0] if step.pending else None
    assert following is None


def test_a_leaf_has_its_gradient_as_soon_as_it_is_reached():
    leaves, y = mixed()
    for step in y.backward_steps():
        if step.node.vjp is None:
            leaf = step.node.variable
            np.testing.assert_array_equal(values(leaf.grad), values(step.incoming[0]))
            assert step.outgoing == ()
    assert all(leaf.grad is not None for leaf in leaves)


def test_a_walk_left_early_leaves_the_rest_alone():
    model, loss = cnn()
    for step in loss.backward_steps():
        if step.node.vjp is None:
            break
    reached = [name for name, p in model.named_parameters() if p.grad is not None]
    assert len(reached) == 1
    assert lucidlite.is_grad_enabled()


def test_code_between_steps_runs_in_the_users_own_mode():
    _, y = mixed()
    for _ in y.backward_steps():
        assert lucidlite.is_grad_enabled()
        assert (lucidlite.ones(1, requires_grad=True) * 2).requires_grad
    _, y = mixed()
    with lucidlite.no_grad():
        for _ in y.backward_steps(create_graph=True):
            assert not lucidlite.is_grad_enabled()


def test_the_graph_is_freed_or_kept_as_asked():
    x = lucidlite.tensor(2.0, requires_grad=True)
    y = x.exp()
    list(y.backward_steps(retain_graph=True))
    list(y.backward_steps())
    assert x.grad.item() == pytest.approx(2 * np.exp(2.0))
    with pytest.raises(RuntimeError, match="a second time"):
        list(y.backward_steps())


def test_create_graph_gives_second_gradients():
    x = lucidlite.tensor(3.0, requires_grad=True)
    list((x**3).backward_steps(create_graph=True))
    (second,) = lucidlite.autograd.grad(x.grad, x)
    assert second.item() == 18.0


def test_inputs_prune_the_walk():
    x = lucidlite.tensor(2.0, requires_grad=True)
    w = lucidlite.tensor(5.0, requires_grad=True)
    y = x * w
    steps = list((y * y).backward_steps(inputs=[w]))
    assert [step.node.name() for step in steps] == [
        "MulBackward0", "MulBackward0", "AccumulateGrad",
    ]  # fmt: skip
    assert w.grad.item() == 2 * 5 * 4
    assert x.grad is None
    assert steps[1].outgoing[0] is None
    with pytest.raises(RuntimeError, match="inputs argument cannot be empty"):
        list((x * w).backward_steps(inputs=[]))


def test_given_gradient_and_refusals():
    x = lucidlite.ones(3, requires_grad=True)
    list((x * 2).backward_steps(lucidlite.tensor([1.0, 10.0, 100.0])))
    assert x.grad.tolist() == [2.0, 20.0, 200.0]
    with pytest.raises(RuntimeError, match="backward_steps: grad can be implicitly created only"):
        (x * 2).backward_steps()
    with pytest.raises(RuntimeError, match="backward_steps: element 0 of tensors does not require"):
        lucidlite.ones(1).backward_steps()


def test_a_dry_walk_leaves_no_trace():
    model, loss = cnn()
    loss.backward()
    expected = [values(p.grad) for p in model.parameters()]
    model, loss = cnn()
    loss.retain_grad()
    for _ in range(2):
        arrived = {}
        for step in dry_steps([loss], [lucidlite.ones_like(loss)]):
            if step.node.vjp is None:
                arrived[id(step.node.variable)] = values(step.incoming[0])
        assert loss.grad is None
        assert all(p.grad is None for p in model.parameters())
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        np.testing.assert_array_equal(arrived[id(parameter)], grad)
    loss.backward()
    assert loss.grad.item() == 1
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        np.testing.assert_array_equal(values(parameter.grad), grad)
