"""The precision of convolutions where figures are taken, not gradients."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_tf32() -> Iterator[None]:
    """Let a GPU convolve float32 numbers as they are, not cut to the 10 bits of TF32.

    By default cuDNN cuts them; errors are printed to hundredths of a degree.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before
