"""The processes of one training run, and what they tell each other.

Without a process group every function does what one process alone would do. Tensors on the CPU go
through gloo, those on a GPU through NCCL.
"""

import inspect
import os
import warnings
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


def world_size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if _is_up() else 1


def rank() -> int:
    """Return which of the processes this is, from 0."""
    return distributed.get_rank() if _is_up() else 0


def is_main() -> bool:
    """Return whether this process writes the files and talks to the user."""
    return rank() == 0


def local_rank() -> int:
    """Return which of the processes on this machine this is, from 0."""
    return int(os.environ.get("LOCAL_RANK", rank())) if world_size() > 1 else 0


def local_world_size() -> int:
    """Return how many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size())) if world_size() > 1 else 1


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Return the sum of `tensor` over the ranks; its gradient is summed over the ranks, too.

    So where every rank computes the same loss of such sums, each rank's gradient is the world size
    times the part of the loss's gradient that goes through its samples, and the mean over the
    ranks, which DistributedDataParallel takes, is the gradient of the loss of the global batch.
    """
    if world_size() == 1:
        return tensor
    summed: Tensor = _AllReduceSum.apply(tensor)
    return summed


class _AllReduceSum(torch.autograd.Function):
    """torch.distributed.nn has one as well, but deprecates it."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(gradient)


def data_parallel(module: nn.Module, *, deterministic: bool = False) -> nn.Module:
    """Return what averages the gradients of `module` over the ranks, or `module` where it is alone.

    All ranks begin with the parameters and buffers of rank 0. From then on each normalises by its
    own samples, as the paper's network does on each of its devices.

    In which order three or more ranks add depends on where a gradient lies among those sent with
    it, and DDP rearranges them after its first step. `deterministic` forbids that, so that the
    first step of a resumed run adds as the same step of the unbroken one.
    """
    if world_size() == 1:
        return module
    if deterministic:
        warnings.filterwarnings("ignore", "find_unused_parameters=True was specified")
    return DistributedDataParallel(module, find_unused_parameters=deterministic, **_KEEP_BUFFERS)


def synchronise_normalisation(module: nn.Module) -> None:
    """Let batch normalisation inside `module` use the samples of all ranks; on GPUs only.

    Names of parameters and what is computed by one rank alone stay as they are.
    """
    if world_size() > 1:
        nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]


# torch 2.14 has another name for it, and warns of the old one.
_KNOWN = inspect.signature(DistributedDataParallel.__init__).parameters
_KEEP_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _KNOWN else "broadcast_buffers": False
}


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (N, …) of all ranks, in the order of the ranks; N may differ."""
    if world_size() == 1:
        return rows
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(world_size())]
    distributed.all_gather(counts, count)
    lengths = [int(length) for length in counts]
    # All ranks must send as much.
    padded = rows.new_zeros((max(lengths), *rows.shape[1:]))
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


def broadcast_buffers(module: nn.Module) -> None:
    """Give all ranks the buffers of rank 0, such as running means: those that are saved."""
    if world_size() > 1:
        for buffer in module.buffers():
            distributed.broadcast(buffer, src=0)


def agreed(flag: bool) -> bool:
    """Return on every rank whether `flag` is True on any of them; waits for all of them."""
    return bool(_highest(int(flag)))


class Ballot:
    """A number from each rank at every step, of which all learn the highest one step later.

    The exchange goes on beside the step, between the hosts: nothing waits for a device, and nobody
    waits for a rank that is less than a step behind.
    """

    def __init__(self) -> None:
        self._votes = torch.zeros((), dtype=torch.int64)
        self._work: distributed.Work | None = None

    def cast(self, vote: int) -> int:
        """Hand in a vote, and return the highest of the step before; alone, the vote itself."""
        if world_size() == 1:
            return vote
        outcome = self._previous()
        self._votes = torch.tensor(vote)
        self._work = distributed.all_reduce(self._votes, op=distributed.ReduceOp.MAX, async_op=True)
        return outcome

    def settle(self, vote: int) -> int:
        """Hand in a last vote, and return the highest of it and of the step before."""
        return max(self._previous(), _highest(vote))

    def _previous(self) -> int:
        if self._work is None:
            return 0
        self._work.wait()
        self._work = None
        return int(self._votes)


def _highest(value: int) -> int:
    votes = torch.tensor(value)
    if world_size() > 1:
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
    return int(votes)


def _summed(tensor: Tensor) -> Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


def _is_up() -> bool:
    return distributed.is_available() and distributed.is_initialized()
