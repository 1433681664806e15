"""The device that batches are for: which one it is, and when it takes none."""

import torch

from hmtl.errors import ConfigError


def checked_device(device: str | torch.device) -> torch.device:
    """Return the device, a GPU with its number and a CPU without.

    Raises ConfigError unless it is a CPU or a GPU that is there.
    """
    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device must be cpu or cuda, got {device!r}") from None
    if checked.type not in ("cpu", "cuda"):
        raise ConfigError(f"device must be cpu or cuda, got {str(checked)!r}")
    if checked.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise ConfigError(f"device {str(checked)!r} is not there: PyTorch finds no GPU")
    count = torch.cuda.device_count()
    number = torch.cuda.current_device() if checked.index is None else checked.index
    if number >= count:
        raise ConfigError(f"device {str(checked)!r} is not there: PyTorch finds {count} GPUs")
    return torch.device("cuda", number)


def refuse_capture() -> None:
    """Raise RuntimeError while the caller captures a CUDA graph.

    What a batch is made of is memory that a replay would not find again.
    """
    if torch.cuda.is_current_stream_capturing():
        raise RuntimeError(
            "a batch cannot be taken while a CUDA graph is captured: take it before, and copy each"
            " later one into it with `copy_into`"
        )
