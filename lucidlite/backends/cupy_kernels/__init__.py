"""The kernels on NVIDIA GPUs: what CuPy does well by itself is left to the base kernels."""
