"""Pre-training: what is kept is a backbone that other trainings start from."""

from abc import abstractmethod

from torch import Tensor
from torchvision.models.resnet import ResNet

from hmtl.assemble import initialise
from hmtl.config import Config
from hmtl.objectives.objective import Objective


class BackboneObjective(Objective):
    """An objective that needs no labels and leaves a backbone."""

    @abstractmethod
    def kept(self) -> ResNet:
        """Return the backbone."""

    def weights(self) -> dict[str, Tensor]:
        """Return the backbone's weights under torchvision's names."""
        return dict(self.kept().state_dict())

    def initialise(self, config: Config) -> None:
        """Load the backbone that `model.init` names, if it names one."""
        initialise(self.kept(), config)
