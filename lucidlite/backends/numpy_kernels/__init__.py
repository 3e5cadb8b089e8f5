"""Kernels that pay their way on the CPU; each gives what the kernel it overrides gives."""
