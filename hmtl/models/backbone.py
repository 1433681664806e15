"""torchvision's ResNets as the feature extractor shared by all tasks."""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.models.resnet import Bottleneck, ResNet

_CONSTRUCTORS: dict[str, Callable[..., ResNet]] = {
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
}
BACKBONES = tuple(_CONSTRUCTORS)
# Channels at the ends of layer1 … layer4.
STAGE_WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "resnet18": (64, 128, 256, 512),
    "resnet34": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
}
# The first block of ResNet50's next stage, by branch point: inner width and stride.
_BRANCH_BLOCKS = {1: (128, 2), 2: (256, 2), 3: (512, 2), 4: (512, 1)}
BRANCH_POINTS = tuple(_BRANCH_BLOCKS)


def build_backbone(name: str) -> ResNet:
    """Return torchvision's ResNet with random weights; (N, 3, S, S) images to (N, D) features."""
    if name not in _CONSTRUCTORS:
        raise ValueError(f"backbone must be one of {sorted(_CONSTRUCTORS)}, got {name!r}")
    backbone = _CONSTRUCTORS[name](weights=None)
    backbone.fc = nn.Identity()
    return backbone


def shared_features(
    backbone: ResNet, images: Tensor, branch_point: int | None
) -> tuple[Tensor | None, Tensor]:
    """Return the features at the branch point, if there is one, and the pooled ones (N, D).

    The operations and their order are those of torchvision's own forward pass.
    """
    features = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(images))))
    branched = None
    stages = (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
    for point, stage in enumerate(stages, start=1):
        features = stage(features)
        if point == branch_point:
            branched = features
    return branched, backbone.avgpool(features).flatten(1)


def build_branch_block(backbone_name: str, branch_point: int) -> tuple[Bottleneck, int]:
    """Return a bottleneck block with a projection shortcut, and how many channels it puts out.

    It is the block that opens ResNet50's next stage; on narrower backbones only its inputs differ.
    """
    if branch_point not in _BRANCH_BLOCKS:
        raise ValueError(f"branch_point must be one of {BRANCH_POINTS}, got {branch_point}")
    inputs = STAGE_WIDTHS[backbone_name][branch_point - 1]
    width, stride = _BRANCH_BLOCKS[branch_point]
    outputs = width * Bottleneck.expansion
    shortcut = nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(outputs),
    )
    block = Bottleneck(inputs, width, stride, shortcut)
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return block, outputs
