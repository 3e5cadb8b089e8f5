"""Training that looks like a mistake and is none: ``watch`` must see the difference."""

from __future__ import annotations

from watch_programs import TwoHeads, begun, classes, mlp, program, train

import lucidlite as torch
import lucidlite.nn as nn
import lucidlite.nn.functional as F


def learn(model, optimizer, loss, steps):
    """Steps on what ``loss(step)`` returns."""
    for step in range(steps):
        value = loss(step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


# -- steps that change nothing ---------------------------------------------------------------


@program
def an_optimizer_whose_layer_is_frozen_for_now(watch):
    x, y = classes()
    model = TwoHeads()
    optimizers = [torch.optim.SGD(part.parameters(), lr=0.1) for part in (model.body, model.head)]
    watch(model, optimizers)
    for thawed in (False, True):
        model.body.requires_grad_(thawed)
        for _ in range(10):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()


@program
def a_branch_that_counts_later(watch):
    maker, judge = mlp(4, 16, 8), mlp(8, 16, 1)
    watch(judge)
    watch(nn.ModuleList([maker, judge]))
    judges = torch.optim.Adam(judge.parameters())
    makes = torch.optim.Adam(maker.parameters())
    for step in range(40):
        made = maker(torch.randn(16, 4))
        loss = made.square().mean() + (0.0 if step < 25 else 0.1) * judge(made).mean()
        judges.zero_grad()
        makes.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
        judges.step()
        makes.step()


@program
def attacks_on_a_model_in_training_mode(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    for _ in range(60):
        moved = x.clone().requires_grad_()
        model.zero_grad()
        F.cross_entropy(model(moved), y).backward()
        x = x + 0.01 * moved.grad.sign()


@program
def all_is_learnt_already(watch):
    x, y = classes()
    model = mlp(8, 64, 3)
    train(model, 10 * x, y, 300, optimizer=torch.optim.Adam(model.parameters(), lr=0.03))
    watch(model)
    train(model, 10 * x, y, 30, lr=1e-4)


# -- forwards in training mode ---------------------------------------------------------------


def with_norm():
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


@program
def labels_guessed_from_several_views(watch):
    x, y, model, optimizer = begun(watch, with_norm)

    def loss(_):
        views = torch.randn(32, 8) + 0.1 * torch.randn(4, 32, 8)
        with torch.no_grad():
            guess = sum(model(view).softmax(1) for view in views) / 4
        return F.cross_entropy(model(x), y) + F.mse_loss(model(views[0]).softmax(1), guess)

    learn(model, optimizer, loss, 25)


@program
def statistics_reset_and_gathered_by_hand(watch):
    x, y, model, optimizer = begun(watch, with_norm)
    train(model, x, y, 20, optimizer=optimizer)
    model[1].reset_running_stats()
    with torch.no_grad():
        for batch in x.split(16):
            model(batch)


# -- losses and data -------------------------------------------------------------------------


@program
def distances_of_distributions(watch):
    model = mlp(4, 16, 1)
    watch(model)
    optimizer = torch.optim.Adam(model.parameters())

    def rows(_):
        made, real = model(torch.randn(32, 4)).squeeze(1), torch.randn(32)
        return (made[:, None] - real[None]).abs().mean()

    def columns(_):
        made, real = model(torch.randn(32, 4)), torch.randn(32, 1)
        return 2 * (made - real.t()).abs().mean() - (made - made.t()).abs().mean()

    for loss in (rows, columns):
        learn(model, optimizer, loss, 5)


@program
def a_layer_that_scales_its_pixels(watch):
    class Scaled(nn.Conv2d):
        def forward(self, input):
            return super().forward(input / 127.5 - 1)

    model = nn.Sequential(Scaled(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    watch(model)
    train(model, torch.randint(0, 256, (8, 3, 8, 8)).float(), torch.arange(8) % 4, 5, lr=1e-3)


def labelled(watch, *batches):
    """A short training on each list of batches of labels."""
    for labels in batches:
        model = mlp(8, 16, 8)
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for y in labels:
            train(model, torch.randn(len(y), 8), y, 1, optimizer=optimizer)


@program
def batches_in_order_by_their_making(watch):
    firsts = [3, 5, 1, 0, 7, 2, 6, 4] * 4
    labelled(
        watch,
        # Two classes a batch; one class a batch; positives before negatives, more or fewer.
        [torch.tensor([a] * 8 + [(3 * a + 1) % 8] * 8) for a in firsts],
        [torch.full((16,), a, dtype=torch.int64) for a in firsts],
        [torch.full((16,), a, dtype=torch.int64) for a in [0, 1, 3, 0, 2, 2, 7, 0, 4, 5, 6] * 2],
        [torch.tensor([1] * (a + 4) + [0] * (20 - a)) for a in firsts],
    )


@program
def a_small_sorted_set_downwards(watch):
    labels = (7 - torch.arange(80) // 10).split(20)
    model = mlp(8, 16, 8)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for y in labels * 3:
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(20, 8)), y).backward()  # unshuffled
        optimizer.step()


# -- activations, gradients and updates ------------------------------------------------------


@program
def a_hinge_in_the_model(watch):
    class Margin(nn.Module):
        def __init__(self):
            super().__init__()
            self.score = mlp(8, 16, 1)

        def forward(self, x, side):
            return (1 - side * self.score(x)).relu().mean()

    model = Margin()
    watch(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    side = torch.tensor([[1.0], [-1.0]] * 16)
    learn(model, optimizer, lambda _: model(torch.randn(32, 8) + 5 * side, side), 80)


@program
def units_that_a_shift_has_killed(watch):
    class Shifted(TwoHeads):
        def forward(self, x):
            return self.head((self.body(x) - 100).relu())  # dead-relu

    x, y = classes()
    model = Shifted()
    watch(model)
    train(model, x, y, 12)


@program
def pruned_units(watch):
    x, y, model, optimizer = begun(watch, lambda: mlp(8, 32, 3))
    kept = (torch.arange(32) % 8 == 0).float()
    for _ in range(25):
        with torch.no_grad():
            model[0].weight *= kept[:, None]
            model[0].bias *= kept
        train(model, x, y, 1, optimizer=optimizer)


@program
def wide_and_seldom(watch):
    model = mlp(32, 256, 32)
    nn.init.constant_(model[0].bias, -1.3)  # a sparse code: few units for each sample
    watch(model)
    x = torch.randn(16, 32)
    train(model, x, x, 25, loss=F.mse_loss)


@program
def heads_that_begin_at_zero(watch):
    x, y = classes()
    for momentum, warm in ((0.9, 1), (0.0, 1), (0.9, 1000)):
        model = mlp(8, 32, 32, 32, 32, 3)
        nn.init.zeros_(model[-1].weight)
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=momentum)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n, warm=warm: min(n / warm, 1))
        for _ in range(40):
            train(model, x, y, 1, optimizer=optimizer)
            rates.step()


@program
def weights_that_wander_from_zero(watch):
    """A linear policy under rewards that mean nothing: its loss has no direction either."""
    for _ in range(8):
        model = nn.Linear(4, 5, bias=False)
        nn.init.zeros_(model.weight)
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(25):
            chances = F.log_softmax(model(torch.randn(1, 4)), 1)
            move = torch.multinomial(chances.exp().detach(), 1)
            optimizer.zero_grad()
            (-chances.gather(1, move) * torch.randn(1)).sum().backward()
            optimizer.step()
