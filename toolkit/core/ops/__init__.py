"""Tensor operations by name, each a plain function: tensors first, then numbers.

Sizes are written [2, 3]; ``x[i, j]`` is an element. Elements lie in memory at ``offset + i * stride_0 +
j * stride_1``; an operation that changes only shape, strides and offset shares memory with its input.
"""
