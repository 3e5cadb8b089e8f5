"""Small training programs with and without the mistakes that ``lucidlite.watch`` knows.

A line that a rule must name ends in a comment with that rule's name; what names none must be left
alone. ``watch`` is ``lucidlite.watch``, with the findings collected by the test.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import lucidlite as torch
import lucidlite.nn as nn
import lucidlite.nn.functional as F

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def mlp(*sizes, activation=nn.ReLU):
    layers = [nn.Linear(sizes[0], sizes[1])]
    for before, after in pairwise(sizes[1:]):
        layers += [activation(), nn.Linear(before, after)]
    return nn.Sequential(*layers)


def classes(n=64, features=8, of=3):
    """Points and classes that can be learnt."""
    x = torch.randn(n, features)
    return x, x[:, :of].argmax(1)


def begun(watch, make=lambda: mlp(8, 16, 3), given=False):
    """Data, a model that is watched, and its optimizer; ``given``: to the watch too."""
    x, y = classes()
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch(model, *[optimizer] * given)
    return x, y, model, optimizer


def train(model, x, y, steps=25, lr=0.1, loss=F.cross_entropy, optimizer=None):
    """A plain loop without a mistake of its own."""
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    return optimizer


# -- zeroing and stepping --------------------------------------------------------------------


@program
def never_zeroed(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watch(model)
    for _ in range(5):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()  # zero-grad


@program
def never_zeroed_in_a_closure(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    watch(model, optimizer)

    def closure():
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)  # zero-grad


@program
def never_zeroed_but_clipped(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    optimizer = torch.optim.Adam(model.parameters())
    watch(model)
    for _ in range(5):
        F.cross_entropy(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()  # zero-grad


@program
def gradients_accumulated_on_purpose(watch):
    x, y, model, optimizer = begun(watch)
    for step in range(40):
        (F.cross_entropy(model(x), y) / 4).backward()
        if step % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()


@program
def zeroed_in_other_ways(watch):
    x, y = classes()
    for way in range(4):
        model = mlp(8, 16, 3)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        watch(model)
        for _ in range(6):
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if way == 0:
                optimizer.zero_grad(set_to_none=False)
            elif way == 1:
                model.zero_grad()
            for p in model.parameters():
                if way == 2:
                    p.grad = None
                elif way == 3:
                    p.grad.data.zero_()


@program
def lbfgs(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    watch(model)

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    for _ in range(6):
        optimizer.step(closure)


@program
def zeroed_after_backward(watch):
    x, y, model, optimizer = begun(watch)
    for _ in range(5):
        F.cross_entropy(model(x), y).backward()
        optimizer.zero_grad()
        optimizer.step()  # step-without-gradients


@program
def filled_with_zeros_after_backward(watch):
    x, y, model, optimizer = begun(watch)
    for _ in range(5):
        F.cross_entropy(model(x), y).backward()
        optimizer.zero_grad(set_to_none=False)
        optimizer.step()  # step-without-gradients


@program
def backward_forgotten(watch):
    x, y, model, optimizer = begun(watch)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y)
        optimizer.step()  # step-without-gradients


@program
def a_schedule_drawn_before_training(watch):
    model = mlp(8, 16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    watch(model, optimizer)
    for _ in range(30):
        optimizer.step()
        schedule.step()


@program
def a_hinge_that_is_satisfied(watch):
    x = torch.randn(32, 4)
    model = mlp(4, 16, 1)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(25):
        optimizer.zero_grad()
        (model(x) - 100.0).relu().mean().backward()
        optimizer.step()


@program
def step_forgotten(watch):
    x, y, model, optimizer = begun(watch, given=True)
    for _ in range(12):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # no-step


@program
def an_optimizer_of_another_model(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model = copy.deepcopy(model)
    watch(model)
    for _ in range(60):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()  # no-step
        optimizer.step()


@program
def steps_by_hand(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    for _ in range(60):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.1 * p.grad


@program
def many_backwards_to_a_step(watch):
    x, y, model, optimizer = begun(watch, given=True)
    for _ in range(100):
        (F.cross_entropy(model(x), y) / 100).backward()
    optimizer.step()


@program
def fisher_information_in_evaluation(watch):
    x, y = classes()
    model = mlp(8, 16, 3).eval()
    watch(model)
    for _ in range(60):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()


# -- which parameters take part --------------------------------------------------------------


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.body(x).relu())


@program
def a_layer_the_optimizer_never_saw(watch):
    x, y = classes()
    model = TwoHeads()
    optimizer = torch.optim.SGD(model.body.parameters(), lr=0.1)
    watch(model, optimizer)
    for _ in range(5):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()  # unseen-parameters


@program
def a_head_replaced_after_the_optimizer_was_made(watch):
    x, y = classes()
    model = TwoHeads()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.head = nn.Linear(16, 3)
    watch(model)
    for _ in range(25):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()  # unseen-parameters


@program
def transfer_learning(watch):
    x, y = classes()
    model = TwoHeads()
    model.body.requires_grad_(False)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    watch(model, optimizer)
    train(model, x, y, 25, optimizer=optimizer)


@program
def frozen_and_thawed(watch):
    x, y = classes()
    model = TwoHeads()
    model.body.requires_grad_(False)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    watch(model)
    train(model, x, y, 25, optimizer=optimizer)
    model.body.requires_grad_(True)
    optimizer.add_param_group({"params": model.body.parameters()})
    train(model, x, y, 25, optimizer=optimizer)


@program
def two_optimizers_by_turns(watch):
    x, y = classes()
    model = TwoHeads()
    first = torch.optim.SGD(model.body.parameters(), lr=0.1)
    second = torch.optim.Adam(model.head.parameters())
    watch(model)
    for step in range(40):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        (first if step % 3 else second).step()


@program
def a_parameter_moved_by_hand(watch):
    x, y = classes()
    model = TwoHeads()
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.1)
    watch(model, optimizer)
    for _ in range(25):
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        for p in model.body.parameters():
            p.data.add_(p.grad, alpha=-0.1)


@program
def cut_by_detach(watch):
    class Cut(TwoHeads):
        def forward(self, x):
            return self.head(self.body(x).relu().detach())

    x, y, model, optimizer = begun(watch, Cut)
    for _ in range(25):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()  # no-gradient


@program
def features_under_no_grad(watch):
    class Fixed(TwoHeads):
        def forward(self, x):
            with torch.no_grad():
                x = self.body(x).relu()
            return self.head(x)

    x, y = classes()
    model = Fixed()
    watch(model)
    train(model, x, y)


@program
def a_branch_for_later(watch):
    x, y = classes()
    model = TwoHeads()
    model.later = nn.Linear(16, 2)
    watch(model)
    train(model, x, y)


# -- modes -----------------------------------------------------------------------------------


def with_dropout():
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 3))


@program
def eval_forgotten(watch):
    x, y = classes()
    model = with_dropout()
    watch(model)
    train(model, x, y, 5)
    with torch.no_grad():
        for batch in x.split(16):
            model(batch)  # eval-forgotten


@program
def eval_forgotten_on_one_batch_an_epoch(watch):
    x, y = classes()
    test, _ = classes()
    model = with_dropout()
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        train(model, x, y, 5, optimizer=optimizer)
        with torch.inference_mode():
            model(test)  # eval-forgotten


@program
def evaluated_as_it_should_be(watch):
    x, y, model, optimizer = begun(watch, with_dropout)
    for _ in range(4):
        model.train()
        train(model, x, y, 6, optimizer=optimizer)
        model.eval()
        with torch.inference_mode():
            for batch in x.split(16):
                model(batch)


@program
def layer_norm_needs_no_mode(watch):
    x, y = classes()
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3))
    watch(model)
    train(model, x, y, 5)
    with torch.no_grad():
        for batch in x.split(16):
            model(batch)


@program
def monte_carlo_dropout(watch):
    x, y = classes()
    model = with_dropout()
    watch(model)
    train(model, x, y, 5)
    with torch.no_grad():
        for batch in x.split(16):
            torch.stack([model(batch) for _ in range(8)]).std(0)


@program
def statistics_gathered_anew(watch):
    x, y = classes()
    model = with_dropout()
    watch(model)
    train(model, x, y, 5)
    torch.optim.swa_utils.update_bn(x.split(16), model)


@program
def shapes_tried_before_training(watch):
    x, y = classes()
    model = with_dropout()
    watch(model)
    with torch.no_grad():
        for batch in x.split(16):
            model(batch)
    train(model, x, y, 5)


@program
def labels_from_the_model_itself(watch):
    x, y, model, optimizer = begun(watch, with_dropout)
    for _ in range(25):
        with torch.no_grad():
            guessed = model(torch.randn(32, 8)).argmax(1)
        optimizer.zero_grad()
        (F.cross_entropy(model(x), y) + F.cross_entropy(model(x[:32]), guessed)).backward()
        optimizer.step()


@program
def values_of_next_states(watch):
    model = with_dropout()
    watch(model)
    optimizer = torch.optim.Adam(model.parameters())
    state = torch.randn(16, 8)
    for _ in range(25):
        values = model(state).max(1)[0]
        with torch.no_grad():
            later = model(state).max(1)[0]
        optimizer.zero_grad()
        F.smooth_l1_loss(values, 0.9 * later).backward()
        optimizer.step()


@program
def train_forgotten_after_evaluation(watch):
    x, y, model, optimizer = begun(watch, with_dropout)
    for _ in range(3):
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()  # train-forgotten
            optimizer.step()
        model.eval()
        with torch.no_grad():
            model(x)


@program
def tuned_in_evaluation_mode_on_purpose(watch):
    x, y = classes()
    model = with_dropout().eval()
    watch(model)
    optimizer = train(model, x, y, 10)
    with torch.no_grad():
        model(x)
    train(model, x, y, 10, optimizer=optimizer)


@program
def frozen_norms(watch):
    x, y, model, optimizer = begun(watch, with_dropout)
    for _ in range(3):
        model.train()
        model[1].eval()
        train(model, x, y, 6, optimizer=optimizer)
        model.eval()
        with torch.no_grad():
            model(x)


@program
def adversarial_training(watch):
    x, y, model, optimizer = begun(watch, with_dropout)
    for _ in range(10):
        model.eval()
        moved = x.clone().requires_grad_()
        F.cross_entropy(model(moved), y).backward()
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(x + 0.1 * moved.grad.sign()), y).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            model(x)
