"""Activation and dropout layers with settings, as rows of layer_cases.py."""

from __future__ import annotations


def _plain(name):
    return lambda nn: getattr(nn, name)()


PLAIN = ["ReLU6", "ELU", "SELU", "CELU", "SiLU", "Mish", "Hardswish", "Hardtanh",
         "Hardshrink", "Softshrink", "Softplus", "Softsign", "LogSigmoid", "Tanhshrink", "GLU",
         "PReLU"]  # fmt: skip

ACTIVATIONS = [
    *((name.lower(), _plain(name), (4, 6)) for name in PLAIN),
    ("hardtanh-bounds", lambda nn: nn.Hardtanh(-0.5, 2), (4, 6)),
    ("hardshrink-1", lambda nn: nn.Hardshrink(1), (4, 6)),
    ("softshrink-0", lambda nn: nn.Softshrink(0.0), (4, 6)),
    ("elu-alpha", lambda nn: nn.ELU(0.5), (4, 6)),
    ("celu-alpha", lambda nn: nn.CELU(alpha=2), (4, 6)),
    ("threshold", lambda nn: nn.Threshold(0.1, 20), (4, 6)),
    ("softplus-settings", lambda nn: nn.Softplus(2, 1.5), (4, 6)),
    ("glu-dim", lambda nn: nn.GLU(1), (2, 4, 3)),
    ("prelu-channels", lambda nn: nn.PReLU(3, init=0.5), (2, 3, 4, 5)),
    ("prelu-unbatched", lambda nn: nn.PReLU(), (5,)),
    ("rrelu", lambda nn: nn.RReLU(0.25, 0.25), (4, 6)),
    ("softmin", lambda nn: nn.Softmin(1), (4, 6)),
    ("softmax2d", lambda nn: nn.Softmax2d(), (2, 3, 4, 5)),
    ("softmax2d-unbatched", lambda nn: nn.Softmax2d(), (3, 4, 5)),
    ("dropout1d-0", lambda nn: nn.Dropout1d(0), (2, 3, 4)),
    ("dropout1d-1", lambda nn: nn.Dropout1d(1.0), (3, 4)),
    ("dropout2d-0", lambda nn: nn.Dropout2d(0.0), (2, 3, 4, 5)),
    ("dropout2d-1", lambda nn: nn.Dropout2d(1), (2, 3, 4, 5)),
    ("dropout3d-0", lambda nn: nn.Dropout3d(0.0), (2, 3, 2, 2, 2)),
    ("dropout3d-1", lambda nn: nn.Dropout3d(1.0), (3, 2, 2, 2)),
    ("alpha-dropout-0", lambda nn: nn.AlphaDropout(0.0, True), (4, 6)),
    ("alpha-dropout-1", lambda nn: nn.AlphaDropout(1.0), (4, 6)),
    ("feature-alpha-dropout-1", lambda nn: nn.FeatureAlphaDropout(1.0), (4, 6)),
]
