"""Kinds of training that ``watch`` must leave alone."""

from __future__ import annotations

from watch_programs import begun, classes, mlp, program, train

import lucidlite as torch
import lucidlite.nn as nn
import lucidlite.nn.functional as F
from lucidlite.models import LeNet, ResNet8
from lucidlite.nn.utils import parametrizations


def gan(watch, both):
    """Generator and discriminator, watched each or as one; samples are drawn in between."""
    maker = nn.Sequential(nn.Linear(4, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2))
    judge = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Dropout(0.1), nn.Linear(32, 1))
    if both:
        watch(nn.ModuleDict({"maker": maker, "judge": judge}))
    else:
        watch(maker)
        watch(judge)
    makes = torch.optim.Adam(maker.parameters(), lr=2e-3)
    judges = torch.optim.Adam(judge.parameters(), lr=2e-3)
    fixed, one, zero = torch.randn(16, 4), torch.ones(64, 1), torch.zeros(64, 1)
    loss = nn.BCEWithLogitsLoss()
    for step in range(60):
        judge.zero_grad()
        loss(judge(torch.randn(64, 2) * 0.5 + 1), one).backward()
        if step % 2:
            with torch.no_grad():
                made = maker(torch.randn(64, 4))
        else:
            made = maker(torch.randn(64, 4)).detach()
        loss(judge(made), zero).backward()
        judges.step()
        maker.zero_grad()
        loss(judge(maker(torch.randn(64, 4))), one).backward()
        makes.step()
        if step % 5 == 4:
            with torch.no_grad():
                maker(fixed)


@program
def two_players(watch):
    gan(watch, both=False)


@program
def two_players_as_one_model(watch):
    gan(watch, both=True)


@program
def a_critic_with_a_gradient_penalty(watch):
    critic = mlp(2, 16, 1, activation=nn.Tanh)
    watch(critic)
    optimizer = torch.optim.Adam(critic.parameters())
    for _ in range(25):
        x = torch.randn(32, 2, requires_grad=True)
        score = critic(x).mean()
        (slope,) = torch.autograd.grad(score, x, create_graph=True)
        optimizer.zero_grad()
        (score + 10 * ((slope * 32).norm(dim=1) - 1).square().mean()).backward()
        optimizer.step()


@program
def text(watch):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(500, 16)
            self.lstm = nn.LSTM(16, 32, num_layers=2, dropout=0.1, batch_first=True)
            self.head = nn.Linear(32, 500)

        def forward(self, x, state=None):
            out, state = self.lstm(self.table(x), state)
            return self.head(out), state

    model = Words()
    watch(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    state = None
    for _ in range(25):
        words = torch.randint(0, 500, (8, 13))
        scores, state = model(words[:, :-1], state)
        state = tuple(each.detach() for each in state)
        optimizer.zero_grad()
        F.cross_entropy(scores.flatten(0, 1), words[:, 1:].flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()


@program
def a_transformer_with_a_shared_table(watch):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(50, 16)
            layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
            self.body = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(16, 50, bias=False)
            self.head.weight = self.table.weight

        def forward(self, x):
            return self.head(self.body(self.table(x)))

    model = Words()
    watch(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(25):
        words = torch.randint(0, 50, (8, 10))
        optimizer.zero_grad()
        F.cross_entropy(model(words[:, :-1]).flatten(0, 1), words[:, 1:].flatten()).backward()
        optimizer.step()


@program
def images(watch):
    x = torch.rand(16, 3, 32, 32)
    y = torch.arange(16) % 10
    for model, lr in ((LeNet(in_channels=3, image_size=32), 0.02), (ResNet8(), 0.05)):
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        for _ in range(22):
            at = torch.randperm(16)
            optimizer.zero_grad()
            F.cross_entropy(model(x[at]), y[at]).backward()
            optimizer.step()


@program
def scaled_losses(watch):
    x, y, model, optimizer = begun(watch)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=4)
    for _ in range(60):
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(x), y)).backward()
        scaler.step(optimizer)
        scaler.update()


@program
def an_average_of_the_weights(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    average = torch.optim.swa_utils.AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(25):
        train(model, x, y, 1, optimizer=optimizer)
        average.update_parameters(model)
        with torch.no_grad():
            average(x)


@program
def a_variational_autoencoder(watch):
    class Coder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.decode = mlp(64, 32, 8), mlp(4, 32, 64)

        def forward(self, x):
            mean, log_var = self.encode(x).chunk(2, 1)
            return self.decode(mean + torch.randn_like(mean) * (log_var / 2).exp()), mean, log_var

    x = torch.rand(32, 64)
    model = Coder()
    watch(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(30):
        out, mean, log_var = model(x)
        kl = -0.5 * (1 + log_var - mean**2 - log_var.exp()).sum()
        optimizer.zero_grad()
        (F.binary_cross_entropy_with_logits(out, x, reduction="sum") + kl).backward()
        optimizer.step()


@program
def loops_written_in_other_ways(watch):
    x, y = classes()

    def plain(model, optimizer):
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def step_by_step(model, optimizer):
        for _ in F.cross_entropy(model(x), y).backward_steps():
            pass
        optimizer.step()

    def differentiably(model, optimizer):
        F.cross_entropy(model(x), y).backward(create_graph=True)
        optimizer.step()

    def by_parts(model, optimizer):
        F.cross_entropy(model[2](model[1](model[0](x))), y).backward()
        optimizer.step()

    def two_losses(model, optimizer):
        out = model(x)
        F.cross_entropy(out, y).backward(retain_graph=True)
        (0.01 * out**2).mean().backward()
        optimizer.step()

    def a_loss_each(model, optimizer):
        F.cross_entropy(model(x), y, reduction="none").backward(torch.ones(64) / 64)
        optimizer.step()

    def named_inputs(model, optimizer):
        F.cross_entropy(model(x), y).backward(inputs=list(model.parameters()))
        optimizer.step()

    def given_gradients(model, optimizer):
        params = list(model.parameters())
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), params)
        for param, gradient in zip(params, gradients, strict=True):
            param.grad = gradient
        optimizer.step()

    def narrow(model, optimizer):
        with torch.autocast(x.device.type, dtype=torch.float16):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    for way in (plain, step_by_step, differentiably, by_parts, two_losses, a_loss_each,
                named_inputs, given_gradients, narrow):  # fmt: skip
        model = mlp(8, 16, 3)
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(22):
            optimizer.zero_grad()
            way(model, optimizer)


@program
def learning_to_learn(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(25):
        params = list(model.parameters())
        inner = F.cross_entropy(model(x), y)
        slopes = torch.autograd.grad(inner, params, create_graph=True)
        a, b, c, d = (p - 0.1 * slope for p, slope in zip(params, slopes, strict=True))
        optimizer.zero_grad()
        F.cross_entropy(F.linear(F.linear(x, a, b).relu(), c, d), y).backward()
        optimizer.step()


@program
def playing_and_learning(watch):
    model = nn.Sequential(mlp(4, 16, 2), nn.LogSoftmax(1))
    watch(model)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(10):
        with torch.no_grad():
            for _ in range(5):
                torch.multinomial(model(torch.randn(8, 4)).exp(), 1)
        for _ in range(3):
            states, moves = torch.randn(16, 4), torch.randint(0, 2, (16, 1))
            optimizer.zero_grad()
            (-(model(states).gather(1, moves) * torch.randn(16, 1)).mean()).backward()
            optimizer.step()


@program
def normalized_weights(watch):
    x, y = classes()
    model = nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(8, 16)), nn.ReLU(),
        parametrizations.weight_norm(nn.Linear(16, 3)),
    )  # fmt: skip
    watch(model)
    train(model, x, y)


@program
def saved_and_loaded(watch):
    x, y = classes()
    model = mlp(8, 16, 3)
    watch(model)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(4):
        train(model, x, y, 6, optimizer=optimizer)
        model.load_state_dict({name: t.clone() for name, t in model.state_dict().items()})
        optimizer.load_state_dict(optimizer.state_dict())


@program
def learnt_to_the_end(watch):
    x, y = classes(256)
    model = mlp(8, 32, 32, 3)
    watch(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(400):
        at = torch.randperm(256)[:32]
        optimizer.zero_grad()
        F.cross_entropy(model(x[at]), y[at]).backward()
        optimizer.step()
