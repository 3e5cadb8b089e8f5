"""Modules that the tests of nn.Module build, on lucidlite or torch."""


def make_affine(lib):
    """A layer with a parameter, a reserved name, two buffers and settings to print."""

    class Affine(lib.nn.Module):
        def __init__(self, size=2, offset=0.0):
            super().__init__()
            self.size = size
            self.weight = lib.nn.Parameter(lib.ones(size))
            self.register_parameter("bias", None)
            self.register_buffer("offset", lib.full((size,), offset))
            self.register_buffer("calls", lib.tensor(0), persistent=False)

        def forward(self, x, scale=1):
            return (x * self.weight + self.offset) * scale

        def extra_repr(self):
            return f"size={self.size}"

    return Affine


def make_net(lib):
    affine = make_affine(lib)

    class Net(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = affine(2)
            self.body = lib.nn.ModuleList([affine(3), affine(3), affine(2)])
            self.again = self.first
            self.gain = lib.nn.Parameter(lib.ones(1))
            self.nothing = None

    return Net


def names(pairs):
    return [name for name, _ in pairs]


def make_scale(lib):
    class Scale(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = lib.nn.Parameter(lib.tensor([2.0, 2.0]))

        def forward(self, *inputs, times=1):
            if not inputs:
                return self.weight * 1
            outputs = tuple(x * self.weight * times for x in inputs)
            return outputs if len(outputs) > 1 else outputs[0]

    return Scale
