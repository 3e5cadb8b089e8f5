"""More programs for ``watch``: losses, data, activations, gradients and updates."""

from __future__ import annotations

import math

from watch_programs import begun, classes, mlp, program, train

import lucidlite as torch
import lucidlite.nn as nn
import lucidlite.nn.functional as F

# -- losses ----------------------------------------------------------------------------------


def losses(watch, model, loss, x, y, steps=4):
    """A few steps on a loss; the lines to name are the caller's."""
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


@program
def softmax_before_cross_entropy(watch):
    model = nn.Sequential(mlp(8, 16, 3), nn.Softmax(dim=1))
    losses(watch, model, lambda out, y: F.cross_entropy(out, y), *classes())  # softmax-twice


@program
def softmax_before_cross_entropy_of_pixels(watch):
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Softmax2d())
    x, y = torch.randn(2, 1, 4, 4), torch.randint(0, 3, (2, 4, 4))
    losses(watch, model, lambda out, y: nn.CrossEntropyLoss()(out, y), x, y)  # softmax-twice


@program
def softmax_before_smoothed_cross_entropy(watch):
    model = nn.Sequential(mlp(8, 16, 3), nn.Softmax(dim=1))
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    losses(watch, model, lambda out, y: criterion(out, y), *classes())  # softmax-twice


@program
def softmax_before_nll_loss(watch):
    model = nn.Sequential(mlp(8, 16, 3), nn.Softmax(dim=1))
    losses(watch, model, lambda out, y: F.nll_loss(out, y), *classes())  # softmax-twice, nll-scores


@program
def scores_into_nll_loss(watch):
    losses(watch, mlp(8, 16, 3), lambda out, y: F.nll_loss(out, y), *classes(), 20)  # nll-scores


@program
def sigmoid_before_a_loss_with_logits(watch):
    model = nn.Sequential(mlp(8, 16, 1), nn.Sigmoid(), nn.Flatten(0))
    x, y = classes()
    loss = nn.BCEWithLogitsLoss()
    losses(watch, model, lambda out, y: loss(out, (y > 0).float()), x, y)  # softmax-twice


@program
def relu_before_cross_entropy(watch):
    model = nn.Sequential(mlp(8, 16, 3), nn.ReLU())
    losses(watch, model, lambda out, y: F.cross_entropy(out, y), *classes())  # relu-last


@program
def losses_as_they_should_be(watch):
    x, y = classes()
    two = (y > 0).float().view(-1, 1)
    for model, loss, target in (
        (mlp(8, 16, 3), F.cross_entropy, y),
        (nn.Sequential(mlp(8, 16, 3), nn.LogSoftmax(1)), F.nll_loss, y),
        (nn.Sequential(mlp(8, 16, 3), nn.LogSoftmax(1)), F.cross_entropy, y),
        (mlp(8, 16, 3), lambda out, y: F.nll_loss(F.softmax(out, 1).log(), y), y),
        (mlp(8, 16, 1), F.binary_cross_entropy_with_logits, two),
        (nn.Sequential(mlp(8, 16, 1), nn.Sigmoid()), F.binary_cross_entropy, two),
        (nn.Sequential(mlp(8, 16, 1), nn.ReLU()), F.mse_loss, two),
    ):
        losses(watch, model, loss, x, target, 25)


@program
def relu_and_pooling_at_the_end_as_in_squeezenet(watch):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )  # fmt: skip
    losses(watch, model, F.cross_entropy, torch.rand(16, 3, 8, 8), torch.arange(16) % 3, 25)


@program
def distillation(watch):
    x, _ = classes()
    teacher, student = mlp(8, 16, 3), mlp(8, 8, 3)
    watch(student)
    optimizer = torch.optim.Adam(student.parameters())
    for _ in range(25):
        with torch.no_grad():
            wanted = F.softmax(teacher(x) / 2, 1)
        optimizer.zero_grad()
        F.kl_div(F.log_softmax(student(x) / 2, 1), wanted, reduction="batchmean").backward()
        optimizer.step()


@program
def a_column_minus_a_vector(watch):
    x = torch.randn(32, 8)
    y = x.sum(1)
    losses(watch, mlp(8, 16, 1), lambda out, y: ((out - y) ** 2).mean(), x, y)  # broadcast-loss


@program
def differences_that_are_meant(watch):
    x = torch.randn(32, 8)
    losses(watch, mlp(8, 16, 1), lambda out, y: ((out - y) ** 2).mean(), x, x.sum(1, keepdim=True))
    losses(watch, mlp(8, 16, 1), lambda out, _: (1 - (out - out.t())).relu().mean(), x, None)
    losses(watch, mlp(8, 16, 4), lambda out, y: ((out - y) ** 2).mean(), x, torch.randn(4))


@program
def a_loss_that_is_nan(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    optimizer.zero_grad()
    (F.cross_entropy(model(x), y) * math.nan).backward()  # not-finite


@program
def a_step_with_infinite_gradients(watch):
    x, y, model, optimizer = begun(watch)
    F.cross_entropy(model(x), y).backward()
    model[0].weight.grad[0, 0] = math.inf
    optimizer.step()  # not-finite


@program
def losses_held(watch):
    x, y = classes(8)
    model = mlp(8, 4, 3)
    watch(model, every=20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    total = 0.0
    for _ in range(260):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)  # graphs-kept
        loss.backward()
        optimizer.step()
        total += loss


@program
def losses_let_go(watch):
    x, y = classes(8)
    model = mlp(8, 4, 3)
    watch(model, every=20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    total, detached = 0.0, []
    for _ in range(260):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
        detached.append(loss.detach())


# -- data ------------------------------------------------------------------------------------


def digits(n=32):
    """Pixels from 0 to 255 with a class in them."""
    y = torch.randint(0, 2, (n,))
    x = torch.randint(0, 100, (n, 1, 8, 8)).float()
    x[:, :, :4] += 155.0 * y.view(-1, 1, 1, 1)
    return x, y


@program
def pixels(watch):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(144, 2)

        def forward(self, x):
            x = self.conv(x).tanh()  # inputs-0-255
            return self.head(x.flatten(1))

    model = Net()
    watch(model)
    train(model, *digits(), lr=1e-3)


@program
def pixels_in_rows(watch):
    x, y = digits()
    model = mlp(64, 8, 2, activation=nn.Tanh)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(5):
        optimizer.zero_grad()
        F.cross_entropy(model(x.flatten(1)), y).backward()  # inputs-0-255
        optimizer.step()


@program
def pixels_scaled_somewhere(watch):
    class Scaled(nn.Module):
        def __init__(self, first):
            super().__init__()
            self.first, self.net = first, nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())
            self.head = nn.Linear(144, 2)

        def forward(self, x):
            return self.head(self.net(self.first(x)))

    class Divide(nn.Module):
        def forward(self, x):
            return x / 255

    x, y = digits()
    for model, given in ((Scaled(nn.BatchNorm2d(1)), x), (Scaled(Divide()), x),
                         (Scaled(nn.Identity()), x / 255)):  # fmt: skip
        watch(model)
        train(model, given, y, lr=0.01)


@program
def counts_and_flags_are_no_pixels(watch):
    counts = (torch.rand(32, 200) ** 40 * 256).floor()
    flags = (torch.rand(32, 1, 8, 8) > 0.5).float()
    heights = torch.rand(32, 6) * 200
    y = torch.randint(0, 2, (32,))
    for x in (counts / 20, flags, heights.floor() / 10):
        model = nn.Sequential(nn.Flatten(), mlp(x[0].numel(), 8, 2, activation=nn.Tanh))
        watch(model)
        train(model, x, y, lr=1e-3)


@program
def sorted_by_label(watch):
    y = torch.arange(400) // 40
    x = F.one_hot(y, 10).float() + 0.1 * torch.randn(400, 10)
    model = mlp(10, 16, 10)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch, labels in zip(x.split(32), y.split(32), strict=True):
        optimizer.zero_grad()
        F.cross_entropy(model(batch), labels).backward()  # unshuffled
        optimizer.step()


@program
def one_class_at_a_time(watch):
    model = mlp(10, 16, 10)
    watch(model, every=5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(60):
        labels = torch.full((16,), step // 30, dtype=torch.int64)
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(16, 10)), labels).backward()  # unshuffled
        optimizer.step()


@program
def labels_in_order_for_a_reason(watch):
    rare = (torch.rand(30, 16) > 0.997).long()
    for labels in (
        [torch.arange(16)] * 25,  # contrastive: each has its own class
        [torch.arange(5).repeat_interleave(3)] * 25,  # few-shot: classes by blocks
        [torch.zeros(16, dtype=torch.int64)] * 25,  # the right one is always first
        list(rare),  # almost all alike
        [torch.randperm(16) for _ in range(25)],
    ):
        model = mlp(10, 16, 16)
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        for y in labels:
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(len(y), 10)), y).backward()
            optimizer.step()


# -- activations, gradients and updates ------------------------------------------------------


@program
def dead_units(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    model[0].bias.data.fill_(-50.0)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(12):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # dead-relu
        optimizer.step()


@program
def dead_channels_of_a_function(watch):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 2)
            self.conv.bias.data[:7].fill_(-50.0)

        def forward(self, x):
            x = F.relu(self.conv(x))  # dead-relu
            return self.head(x.mean((2, 3)))

    model = Net()
    watch(model)
    train(model, torch.randn(8, 1, 8, 8), torch.arange(8) % 2)


@program
def units_that_rest_now_and_then(watch):
    x, y = classes(4)
    model = mlp(8, 16, 3)
    model[0].bias.data[:9].fill_(-50.0)  # nine of sixteen
    watch(model)
    train(model, x, y)
    pruned = mlp(8, 16, 3, activation=nn.LeakyReLU)
    pruned[0].bias.data.fill_(-50.0)
    watch(pruned)
    train(pruned, x, y, lr=1e-3)
    few = mlp(8, 16, 3)
    few[0].bias.data.fill_(-50.0)
    watch(few)  # four samples at a time tell too little
    train(few, x, y, steps=20)


@program
def deep_sigmoids(watch):
    x, y = classes()
    model = mlp(8, *[16] * 10, 3, activation=nn.Sigmoid)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(15):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()  # vanishing-gradients


@program
def deep_but_sound(watch):
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.Sigmoid())

        def forward(self, x):
            return x + self.inside(x)

    x, y = classes()
    deep = nn.Sequential(nn.Linear(8, 16), *[Residual() for _ in range(12)], nn.Linear(16, 3))
    for model in (deep, mlp(8, *[16] * 6, 3), mlp(8, *[16] * 4, 3, activation=nn.Tanh)):
        watch(model)
        train(model, x, y, 30)


@program
def an_explosion_through_time(watch):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.again = nn.Linear(4, 64), nn.Linear(64, 64)
            self.more, self.head = nn.Linear(64, 16), nn.Linear(16, 1)
            nn.init.normal_(self.again.weight, 0.0, 3.0 / 8)  # chaotic: small changes grow

        def forward(self, x):
            h = self.read(x[:, 0]).tanh()
            for t in range(1, 60):
                h = (self.again(h) + self.read(x[:, t])).tanh()
            return self.head(self.more(h))

    x, y = torch.randn(16, 60, 4), torch.randn(16, 1)
    for clipped in (True, False):
        model = Recurrent()
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-9 if clipped else 1e-12)
        rates = torch.optim.lr_scheduler.ExponentialLR(optimizer, 1.01)
        for _ in range(10):
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            if clipped:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
            else:
                optimizer.step()  # exploding-gradients
            rates.step()


@program
def gradients_that_grow_a_thousandfold(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    for step in range(16):
        optimizer.zero_grad()
        (F.cross_entropy(model(x), y) * 10.0 ** max(0, step - 9)).backward()
        optimizer.step()  # exploding-gradients


@program
def sums_have_large_gradients(watch):
    x = torch.rand(256, 64)
    model = mlp(64, 16, 64)
    watch(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(30):
        optimizer.zero_grad()
        F.mse_loss(model(x) * 10, x * 10, reduction="sum").backward()
        optimizer.step()


@program
def a_rate_far_too_large(watch):
    x, y = classes()
    for optimizer, lr in ((torch.optim.SGD, 30.0), (torch.optim.Adam, 10.0)):
        torch.manual_seed(1)
        model = mlp(8, 16, 3, activation=nn.Tanh)
        watch(model)
        stepping = optimizer(model.parameters(), lr=lr)
        for _ in range(20):
            stepping.zero_grad()
            F.cross_entropy(model(x), y).backward()
            stepping.step()  # learning-rate


@program
def a_rate_far_too_small(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()  # learning-rate


@program
def rates_that_only_seem_odd(watch):
    x, y = classes()
    model = mlp(8, 16, 3)  # a warm-up
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step + 1)
    for _ in range(30):
        train(model, x, y, 1, optimizer=optimizer)
        rates.step()
    line = nn.Linear(8, 1)  # from zero
    nn.init.zeros_(line.weight)
    watch(line)
    train(line, x, x.sum(1, keepdim=True), 30, loss=F.mse_loss)
    xor = mlp(2, 8, 2)  # small and fast
    watch(xor)
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    train(xor, corners, torch.tensor([0, 1, 1, 0]), 60, optimizer=torch.optim.Adam(
        xor.parameters(), lr=0.1))  # fmt: skip


@program
def norms_of_two_values(watch):
    x, y = classes(2)
    model = with_norm()
    watch(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(4):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # batchnorm-pairs
        optimizer.step()


def with_norm():
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


@program
def small_batches_with_enough_values(watch):
    images = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )
    watch(images)
    train(images, torch.rand(2, 1, 8, 8), torch.tensor([0, 1]), lr=0.01)
    frozen = with_norm()
    frozen[1].eval()
    watch(frozen)
    train(frozen, *classes(2), lr=0.01)
