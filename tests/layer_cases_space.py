"""Layers on places, as in layer_cases.py: transposed convolutions, norms, pads, sizes."""

from __future__ import annotations

# Name, how to make it, the shape of an input.
SPACE = [
    ("conv1d", lambda nn: nn.Conv1d(3, 4, 3), (2, 3, 8)),
    ("conv1d-unbatched", lambda nn: nn.Conv1d(3, 4, 3, bias=False), (3, 8)),
    ("conv1d-all", lambda nn: nn.Conv1d(4, 6, (3,), (2,), [1], 2, 2), (2, 4, 9)),
    ("conv1d-same", lambda nn: nn.Conv1d(3, 4, 4, padding="same", dilation=2), (2, 3, 9)),
    *(
        (f"conv1d-{mode}", lambda nn, mode=mode: nn.Conv1d(
            3, 4, 3, padding=2, padding_mode=mode), (2, 3, 6))
        for mode in ("reflect", "replicate", "circular")
    ),
    ("conv1d-same-reflect", lambda nn: nn.Conv1d(
        3, 4, 4, padding="same", padding_mode="reflect"), (2, 3, 6)),
    ("conv-transpose", lambda nn: nn.ConvTranspose2d(3, 4, 3), (2, 3, 4, 5)),
    ("conv-transpose-unbatched", lambda nn: nn.ConvTranspose2d(3, 4, 3, bias=False), (3, 4, 5)),
    ("conv-transpose-all", lambda nn: nn.ConvTranspose2d(
        4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2)), (2, 4, 4, 3)),
    ("conv-transpose-depthwise", lambda nn: nn.ConvTranspose2d(
        4, 4, 2, stride=2, groups=4), (2, 4, 4, 3)),
    ("conv-transpose1d", lambda nn: nn.ConvTranspose1d(3, 4, 3), (2, 3, 5)),
    ("conv-transpose1d-all", lambda nn: nn.ConvTranspose1d(
        4, 6, 3, 2, 1, 1, 2, False, 2), (4, 5)),
    ("max1d", lambda nn: nn.MaxPool1d(2), (2, 3, 7)),
    ("max1d-all", lambda nn: nn.MaxPool1d(3, 2, 1, 2, ceil_mode=True), (3, 9)),
    ("avg1d", lambda nn: nn.AvgPool1d(2), (2, 3, 7)),
    ("avg1d-all", lambda nn: nn.AvgPool1d([3], (2,), 1, True, False), (3, 9)),
    ("adaptive-avg1d", lambda nn: nn.AdaptiveAvgPool1d(3), (2, 3, 8)),
    ("adaptive-max1d", lambda nn: nn.AdaptiveMaxPool1d(3), (2, 3, 8)),
    ("lp", lambda nn: nn.LPPool2d(2, (3, 2), 2, True), (2, 3, 7, 8)),
    ("lp1d", lambda nn: nn.LPPool1d(2, 3), (2, 3, 8)),
    ("layer-norm", lambda nn: nn.LayerNorm(4), (2, 3, 4)),
    ("layer-norm-dims", lambda nn: nn.LayerNorm([3, 4], 1e-3), (2, 3, 4)),
    ("layer-norm-no-bias", lambda nn: nn.LayerNorm((4,), bias=False), (2, 4)),
    ("layer-norm-plain", lambda nn: nn.LayerNorm(4, elementwise_affine=False), (4,)),
    ("group-norm", lambda nn: nn.GroupNorm(2, 6), (2, 6, 4, 3)),
    ("group-norm-1d", lambda nn: nn.GroupNorm(3, 6, 1e-3), (2, 6, 5)),
    ("group-norm-no-bias", lambda nn: nn.GroupNorm(1, 6, bias=False), (2, 6)),
    ("group-norm-plain", lambda nn: nn.GroupNorm(6, 6, affine=False), (2, 6, 4)),
    ("instance-norm", lambda nn: nn.InstanceNorm2d(3), (2, 3, 4, 5)),
    ("instance-norm-unbatched", lambda nn: nn.InstanceNorm2d(3, affine=True), (3, 4, 5)),
    ("instance-norm-tracking", lambda nn: nn.InstanceNorm2d(
        3, 1e-3, 0.3, True, True), (2, 3, 4, 5)),
    ("instance-norm-1d", lambda nn: nn.InstanceNorm1d(3, affine=True, bias=False), (2, 3, 5)),
    ("instance-norm-1d-tracking", lambda nn: nn.InstanceNorm1d(
        3, momentum=None, track_running_stats=True), (3, 5)),
    ("rms-norm", lambda nn: nn.RMSNorm(4), (2, 3, 4)),
    ("rms-norm-dims", lambda nn: nn.RMSNorm((3, 4), 1e-2), (2, 3, 4)),
    ("rms-norm-plain", lambda nn: nn.RMSNorm(4, elementwise_affine=False), (2, 4)),
    ("response-norm", lambda nn: nn.LocalResponseNorm(3), (2, 5, 4, 3)),
    ("response-norm-all", lambda nn: nn.LocalResponseNorm(2, 0.1, 0.5, 2.0), (2, 5, 4)),
    ("unflatten", lambda nn: nn.Unflatten(1, (2, -1)), (3, 6)),
    ("upsample", lambda nn: nn.Upsample(scale_factor=2), (2, 3, 4, 5)),
    ("upsample-size", lambda nn: nn.Upsample((6, 3), mode="bilinear"), (2, 3, 4, 5)),
    ("upsample-factors", lambda nn: nn.Upsample(
        scale_factor=(1.5, 2), mode="bicubic", align_corners=True), (2, 3, 4, 5)),
    ("upsample-1d", lambda nn: nn.Upsample(
        scale_factor=1.7, mode="linear", recompute_scale_factor=True), (2, 3, 4)),
    ("upsampling-nearest", lambda nn: nn.UpsamplingNearest2d(scale_factor=2), (2, 3, 4, 5)),
    ("upsampling-bilinear", lambda nn: nn.UpsamplingBilinear2d((7, 8)), (2, 3, 4, 5)),
    *(
        (f"{name}{rank}d-{kind}", lambda nn, name=name, rank=rank, padding=padding: getattr(
            nn, f"{name}{rank}d")(padding), shape)
        for name in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad")
        for rank, sides, shape in (
            (1, (2, 1), (2, 3, 4)),
            (2, (2, 1, 0, 3), (2, 3, 4, 5)),
            (3, (2, 1, 0, 1, 1, 2), (1, 2, 3, 4, 5)),
        )
        for kind, padding in (("number", 1), ("sides", sides))
    ),
    ("constant-pad1d", lambda nn: nn.ConstantPad1d(1, 2.5), (3, 4)),
    ("constant-pad", lambda nn: nn.ConstantPad2d((1, -1, 0, 2), 2.5), (2, 3, 4, 5)),
    ("constant-pad3d", lambda nn: nn.ConstantPad3d(1, 7), (1, 2, 2, 3, 4)),
    ("pixel-shuffle", lambda nn: nn.PixelShuffle(2), (2, 8, 3, 4)),
    ("pixel-unshuffle", lambda nn: nn.PixelUnshuffle(2), (2, 3, 4, 6)),
    ("channel-shuffle", lambda nn: nn.ChannelShuffle(3), (2, 6, 3, 4)),
    ("unfold", lambda nn: nn.Unfold((3, 2), padding=1, stride=(2, 1)), (2, 3, 5, 6)),
    ("fold", lambda nn: nn.Fold((5, 6), 2), (2, 12, 20)),
]  # fmt: skip
