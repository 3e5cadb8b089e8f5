"""lucidlite.watch: mistakes that raise no error, found while a model trains.

The script below makes four of them on purpose: pixels that are still 0 to 255, a softmax before
cross_entropy, gradients that are never zeroed, and a validation that forgets model.eval(). Then
the same training without them: nothing is said, and it learns.
"""

import lucidlite as torch
import lucidlite.nn as nn
import lucidlite.nn.functional as F


def digits(n, generator):
    """n images (n, 1, 8, 8) with pixels 0 to 255, bright at the top or at the bottom, and which."""
    y = torch.randint(0, 2, (n,), generator=generator)
    x = torch.randint(0, 100, (n, 1, 8, 8), generator=generator).float()
    x[:, :, :4] += 155.0 * y.view(-1, 1, 1, 1)
    x[:, :, 4:] += 155.0 * (1 - y).view(-1, 1, 1, 1)
    return x, y


def network(*last):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8 * 36, 2), *last
    )


def mistaken(x, y, x_val):
    model = network(nn.Softmax(dim=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with torch.watch(model, log=print) as watch:
        for _ in range(5):
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for batch in x_val.split(16):
                model(batch)
    return watch.found


def sound(x, y, x_val, y_val):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, x_val = x / 255, x_val / 255
    with torch.watch(model, optimizer, log=print) as watch:
        for _ in range(30):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = (model(x_val).argmax(1) == y_val).float().mean()
    print(f"without the mistakes: {len(watch.found)} warnings, accuracy {right.item():.0%}")


def main():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    x, y = digits(64, generator)
    x_val, y_val = digits(64, generator)
    found = mistaken(x, y, x_val)
    print(f"\n{len(found)} mistakes: {', '.join(finding.rule for finding in found)}\n")
    sound(x, y, x_val, y_val)


if __name__ == "__main__":
    main()
