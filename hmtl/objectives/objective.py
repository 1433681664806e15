"""What a training minimises: a network and its loss as one module."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from hmtl.config import Config
from hmtl.data import Batch


class Objective(nn.Module, ABC):
    """Maps a batch to its losses.

    Network and loss are one module so that whatever learns is in one forward pass, as
    DistributedDataParallel and `torch.compile` want it.
    """

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return losses () by name: the first, "loss", is minimised, the others are logged."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return what is kept of the network, under torchvision's names."""

    @abstractmethod
    def kept(self) -> nn.Module:
        """Return the part of the network that is of use after training."""

    @abstractmethod
    def initialise(self, config: Config) -> None:
        """Load the weights that the config starts from into the fresh network."""

    @abstractmethod
    def describe(self) -> str:
        """Return what is trained, in a few words."""
