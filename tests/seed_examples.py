"""The code of the documents this project answers to, with indentation and line breaks restored.

Each example is code as printed there (torch.js's in Python's words), and what it prints: None where
that depends on random numbers. Sizes print as plain tuples here.
"""

from __future__ import annotations

BASIC = """
import torch
import torch.nn as nn
# Define a 2D average pooling layer with a 2x2 window and stride of 2
pool = nn.AvgPool2d(kernel_size=2, stride=2)
# Create a random input tensor of shape (Batch, Channels, Height, Width)
x = torch.randn(1, 1, 4, 4)
output = pool(x)
print("Input:\\n", x.squeeze().tolist())
print("\\nOutput:\\n", output.squeeze().tolist())
print("\\nShape transformation:", x.shape, "->", output.shape)
"""

GAP = """
import torch
import torch.nn as nn
# Use AdaptiveAvgPool2d to dynamically pool any input size down to 1x1
gap = nn.AdaptiveAvgPool2d(1)
# Input shape: (Batch=4, Channels=64, Height=16, Width=16)
x = torch.randn(4, 64, 16, 16)
out = gap(x)
print("Input shape:", x.shape)
print("Output shape:", out.shape)
print("Number of average values per channel:", out.numel() // 64)
"""

COMPARED = """
import torch
import torch.nn as nn
# Create a 4x4 matrix
x = torch.tensor([[[
    [1, 2, 3, 4],
    [5, 6, 7, 8],
    [9, 10, 11, 12],
    [13, 14, 15, 16]
]]], dtype=torch.float32)
maxpool = nn.MaxPool2d(kernel_size=2, stride=2)
avgpool = nn.AvgPool2d(kernel_size=2, stride=2)
print("Input Matrix:\\n", x[0, 0])
print("\\nMaxPool2d Output (Extracts maximums):\\n", maxpool(x)[0, 0])
print("\\nAvgPool2d Output (Computes averages):\\n", avgpool(x)[0, 0])
"""
COMPARED_PRINTS = """Input Matrix:
 tensor([[ 1.,  2.,  3.,  4.],
        [ 5.,  6.,  7.,  8.],
        [ 9., 10., 11., 12.],
        [13., 14., 15., 16.]])

MaxPool2d Output (Extracts maximums):
 tensor([[ 6.,  8.],
        [14., 16.]])

AvgPool2d Output (Computes averages):
 tensor([[ 3.5000,  5.5000],
        [11.5000, 13.5000]])
"""

ADAPTIVE = """
import torch
import torch.nn as nn
# Pool to 1x1
adaptive_pool = nn.AdaptiveAvgPool2d(1)
# Different input sizes
x1 = torch.randn(1,64,32,32)
x2 = torch.randn(1,64,16,16)
x3 = torch.randn(1,64,8,8)
out1 = adaptive_pool(x1)
out2 = adaptive_pool(x2)
out3 = adaptive_pool(x3)
print("32x32 ->", out1.shape)
print("16x16 ->", out2.shape)
print("8x8 ->", out3.shape)
print("nAll outputs are pooled to 1x1")
"""
ADAPTIVE_PRINTS = """32x32 -> (1, 64, 1, 1)
16x16 -> (1, 64, 1, 1)
8x8 -> (1, 64, 1, 1)
nAll outputs are pooled to 1x1
"""

SIZES = """
import torch
import torch.nn as nn
# Pool to 4x4
pool = nn.AdaptiveAvgPool2d((4,4))
x = torch.randn(2,128,32,32)
out = pool(x)
print("Input shape:", x.shape)
print("Output shape:", out.shape)# (2, 128, 4, 4)
# Pool to 1x7 (can be used for sequences)
pool_seq = nn.AdaptiveAvgPool2d((1,7))
x_seq = torch.randn(2,64,10,20)
out_seq = pool_seq(x_seq)
print("nSequence pooling:", x_seq.shape,"->", out_seq.shape)
"""
SIZES_PRINTS = """Input shape: (2, 128, 32, 32)
Output shape: (2, 128, 4, 4)
nSequence pooling: (2, 64, 10, 20) -> (2, 64, 1, 7)
"""

CNN_WITH_GAP = """
import torch
import torch.nn as nn
class CNNWithGAP(nn.Module):
    def __init__ (self, num_classes=10):
        super(CNNWithGAP,self). __init__ ()
        self.features= nn.Sequential(
            nn.Conv2d(3,64,3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64,128,3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(128,256,3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        # Global average pooling
        self.avgpool= nn.AdaptiveAvgPool2d(1)
        self.classifier= nn.Linear(256, num_classes)
    def forward(self, x):
        x =self.features(x)
        x =self.avgpool(x)
        x = x.view(x.size(0), -1)
        x =self.classifier(x)
        return x
"""
CNN_USE = """
model = CNNWithGAP()
x = torch.randn(4,3,32,32)
output = model(x)
print("Input shape:", x.shape)
print("Output shape:", output.shape)
print("nFeature maps are globally pooled into a single vector")
"""
CNN_PRINTS = """Input shape: (4, 3, 32, 32)
Output shape: (4, 10)
nFeature maps are globally pooled into a single vector
"""

REGULAR = """
import torch
import torch.nn as nn
# Adaptive pooling vs Regular pooling
adaptive = nn.AdaptiveAvgPool2d(2)
regular = nn.AvgPool2d(kernel_size=16, stride=16)
x = torch.randn(1,64,32,32)
out_adaptive = adaptive(x)
out_regular = regular(x)
print("Input:", x.shape)
print("Adaptive pooling (output 2x2):", out_adaptive.shape)
print("Regular average pooling (16x16):", out_regular.shape)
"""
REGULAR_PRINTS = """Input: (1, 64, 32, 32)
Adaptive pooling (output 2x2): (1, 64, 2, 2)
Regular average pooling (16x16): (1, 64, 2, 2)
"""

TUTORIAL = """
import torch
import torch.nn as nn
# Create a sample input tensor (1 image, 1 channel, 4x4 size)
input_tensor = torch.tensor([[[[1.0, 2.0, 3.0, 4.0],
                               [5.0, 6.0, 7.0, 8.0],
                               [9.0, 10.0, 11.0, 12.0],
                               [13.0, 14.0, 15.0, 16.0]]]])
# Define MaxPool2d with 2x2 kernel and stride 2
max_pool = nn.MaxPool2d(kernel_size=2, stride=2)
# Define AvgPool2d with 2x2 kernel and stride 2
avg_pool = nn.AvgPool2d(kernel_size=2, stride=2)
# Apply max pooling
max_pooled = max_pool(input_tensor)
# Apply average pooling
avg_pooled = avg_pool(input_tensor)
print("Input Tensor:")
print(input_tensor)
print("\\nMax Pooled Output:")
print(max_pooled)
print("\\nAverage Pooled Output:")
print(avg_pooled)
"""
TUTORIAL_PRINTS = """Input Tensor:
tensor([[[[ 1.,  2.,  3.,  4.],
          [ 5.,  6.,  7.,  8.],
          [ 9., 10., 11., 12.],
          [13., 14., 15., 16.]]]])

Max Pooled Output:
tensor([[[[ 6.,  8.],
          [14., 16.]]]])

Average Pooled Output:
tensor([[[[ 3.5000,  5.5000],
          [11.5000, 13.5000]]]])
"""

QUIZ_MAX = """
import torch
import torch.nn as nn
input_tensor = torch.randn(1, 1, 6, 6)
pool = nn.MaxPool2d(kernel_size=2, stride=2)
output = pool(input_tensor)
print(output.shape)
"""

QUIZ_AVG = """
import torch
import torch.nn as nn
input_tensor = torch.randn(1, 1, 5, 5)
pool = nn.AvgPool2d(kernel_size=2, stride=3)
output = pool(input_tensor)
print(output.shape)
"""

# Name, code, what it prints.
SCRIPTS = [
    ("avg-1-basic", BASIC, None),
    (
        "avg-2-gap",
        GAP,
        "Input shape: (4, 64, 16, 16)\nOutput shape: (4, 64, 1, 1)\n"
        "Number of average values per channel: 4\n",
    ),
    ("avg-3-compared", COMPARED, COMPARED_PRINTS),
    ("adaptive-1-basic", ADAPTIVE, ADAPTIVE_PRINTS),
    ("adaptive-2-sizes", SIZES, SIZES_PRINTS),
    ("adaptive-3-cnn", CNN_WITH_GAP + CNN_USE, CNN_PRINTS),
    ("adaptive-4-regular", REGULAR, REGULAR_PRINTS),
    ("tutorial-code", TUTORIAL, TUTORIAL_PRINTS),
    ("tutorial-quiz-3", QUIZ_MAX, "(1, 1, 3, 3)\n"),
    ("tutorial-quiz-4", QUIZ_AVG, "(1, 1, 2, 2)\n"),
]

SESSION = """
Standard 2x downsampling:
>>> import lucid
>>> import lucid.nn as nn
>>> pool = nn.AvgPool2d(kernel_size=2, stride=2)
>>> x = lucid.ones((1, 64, 56, 56))
>>> y = pool(x)
>>> y.shape
(1, 64, 28, 28)

Smoothing with padding (output same size as input):
>>> pool = nn.AvgPool2d(kernel_size=3, stride=1, padding=1)
>>> x = lucid.ones((4, 32, 16, 16))
>>> y = pool(x)
>>> y.shape
(4, 32, 16, 16)
"""

# torch.js: code, and the shape of what it ends in, as its comments say.
HALVED = """
pool = torch.nn.AvgPool2d(2)
x = torch.randn([32, 64, 224, 224])
y = pool.forward(x)
"""
TORCH_JS = [
    ("halved", HALVED, (32, 64, 112, 112)),
    (
        "overlapping",
        """
pool = torch.nn.AvgPool2d([3, 3], 1, 1)
x = torch.randn([32, 128, 56, 56])
y = pool.forward(x)
""",
        (32, 128, 56, 56),
    ),
    (
        "global",
        """
pool = torch.nn.AvgPool2d([7, 7])
x = torch.randn([32, 512, 7, 7])
y = pool.forward(x)
""",
        (32, 512, 1, 1),
    ),
    (
        "mobilenet",
        """
avgpool = torch.nn.AvgPool2d(7)
conv_out = torch.randn([16, 1280, 7, 7])
pooled = avgpool.forward(conv_out)
y = pooled.view(pooled.shape[0], -1)
""",
        (16, 1280),
    ),
    (
        "real-values",
        """
pool = torch.nn.AvgPool2d(2, 2, 1, count_include_pad=False)
x = torch.randn([16, 64, 32, 32])
y = pool.forward(x)
""",
        (16, 64, 17, 17),
    ),
]


def with_imports(code: str, name: str) -> str:
    """The code with its import lines changed to those of another library."""
    return code.replace("import torch.nn as nn", f"import {name}.nn as nn").replace(
        "import torch\n", f"import {name} as torch\n"
    )


def cnn_with_gap(lib):
    """The documented class, on ``lib``."""
    namespace = {"__name__": "__main__"}
    exec(with_imports(CNN_WITH_GAP, lib.__name__), namespace)
    return namespace["CNNWithGAP"]
