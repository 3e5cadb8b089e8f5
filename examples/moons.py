"""Two moons: a small MLP learns to tell two crescents apart, as in the micrograd demo.

The loss is the max-margin ("hinge") loss with a little L2. At the end the decision boundary is
drawn as characters, and with matplotlib and --picture FILE as an image.

Source: the demo of Andrej Karpathy's micrograd.
"""

import argparse
import math

import lucidlite as torch
import lucidlite.nn as nn


def make_moons(n, noise, generator):
    """n points (n, 2) on two interleaved half circles, and their labels -1 or 1 (n,)."""
    half = n // 2
    angle = torch.linspace(0, math.pi, half)
    upper = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
    lower = torch.stack([1 - torch.cos(angle), 0.5 - torch.sin(angle)], 1)
    points = torch.cat([upper, lower])
    labels = torch.cat([-torch.ones(half), torch.ones(half)])
    return points + noise * torch.randn(*points.shape, generator=generator), labels


def draw_characters(model, points, labels, columns=64, rows=20):
    """The plane as text: '.' and '+' are the model's two sides, 'o' and '#' the data."""
    xs, ys = torch.linspace(-1.6, 2.6, columns), torch.linspace(1.6, -1.1, rows)
    grid = torch.stack([
        xs.view(1, -1).expand(rows, columns).reshape(-1),
        ys.view(-1, 1).expand(rows, columns).reshape(-1),
    ], 1)
    with torch.no_grad():
        side = (model(grid).view(rows, columns) > 0).tolist()
    lines = [["+" if cell else "." for cell in row] for row in side]
    for (x, y), label in zip(points.tolist(), labels.tolist(), strict=True):
        row, column = round((1.6 - y) / 2.7 * (rows - 1)), round((x + 1.6) / 4.2 * (columns - 1))
        if 0 <= row < rows and 0 <= column < columns:
            lines[row][column] = "#" if label > 0 else "o"
    return "\n".join("".join(row) for row in lines)


def draw_picture(model, points, labels, path, size=200):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    xs, ys = torch.linspace(-1.6, 2.6, size), torch.linspace(-1.1, 1.6, size)
    grid = torch.stack([
        xs.view(1, -1).expand(size, size).reshape(-1),
        ys.view(-1, 1).expand(size, size).reshape(-1),
    ], 1)
    with torch.no_grad():
        score = model(grid).view(size, size).numpy()
    figure = Figure(figsize=(6, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.contourf(xs.numpy(), ys.numpy(), score, levels=[-1e9, -1, 0, 1, 1e9],
                  colors=["#f4b6b0", "#fae3e0", "#dce8f5", "#a9c8e8"])
    axes.contour(xs.numpy(), ys.numpy(), score, levels=[0], colors="#444444")
    for label, color in ((-1, "#c62828"), (1, "#1f6fb4")):
        chosen = points[labels == label].numpy()
        axes.scatter(chosen[:, 0], chosen[:, 1], s=18, color=color, edgecolor="white", lw=0.5)
    axes.set_title("score 0 is the boundary, -1 and 1 the margin", fontsize=9)
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--picture", metavar="FILE", help="also draw with matplotlib")
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    args = parser.parse_args()

    torch.manual_seed(1)
    points, labels = make_moons(100, 0.1, torch.Generator().manual_seed(7))
    model = nn.Sequential(
        nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    steps = 60 if args.quick else args.steps
    for step in range(steps):
        scores = model(points).view(-1)
        margin = (1 - labels * scores).relu().mean()
        penalty = 1e-4 * sum((p * p).sum() for p in model.parameters())
        loss = margin + penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0 or step == steps - 1:
            accuracy = ((labels > 0) == (scores > 0)).float().mean()
            print(f"step {step:3}  loss {loss.item():.4f}  accuracy {accuracy.item():.0%}")

    print(draw_characters(model, points, labels))
    if args.picture:
        draw_picture(model, points, labels, args.picture)


if __name__ == "__main__":
    main()
