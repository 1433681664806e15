"""Pre-training: what is kept is a backbone that other trainings start from."""

from abc import abstractmethod

from torch import Tensor
from torchvision.models.resnet import ResNet

from hmtl.assemble import initialise
from hmtl.config import Config
from hmtl.objectives.objective import Objective


class BackboneObjective(Objective):
    """An objective that needs no labels and leaves a backbone."""

    @property
    @abstractmethod
    def backbone(self) -> ResNet:
        """What is kept of the network."""

    def weights(self) -> dict[str, Tensor]:
        """Return the backbone's weights under torchvision's names."""
        return dict(self.backbone.state_dict())

    def initialise(self, config: Config) -> None:
        """Load the backbone that `model.init` names, if it names one."""
        initialise(self.backbone, config)
