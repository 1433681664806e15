"""From a config to its parts: device, network, initial weights, learning rate, loaders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import ResNet

from hmtl import checkpoint
from hmtl.config import Config
from hmtl.data import Dataset, Loader
from hmtl.data.dataset import within_range
from hmtl.data.parallel import usable_cores
from hmtl.distributed import local_rank, local_world_size, world_size
from hmtl.errors import ConfigError, DataError, RunError
from hmtl.losses import build_weighting
from hmtl.models.loading import load_backbone
from hmtl.models.multi_task import MultiTaskNet, PoseNetwork
from hmtl.optim.schedule import cosine_rate, step_rate
from hmtl.tensor_files import read_tensors

WEIGHTS = "weights.safetensors"
BEST_WEIGHTS = "best.safetensors"


def choose_device(name: str) -> torch.device:
    """Return this rank's device of the kind `name`; "auto" is a GPU where every rank has one."""
    ranks = local_world_size()
    found = torch.cuda.device_count()
    if name == "auto":
        return _rank_gpu() if ranks <= found else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"config key 'train.device' must name a device, got {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"config key 'train.device' must be auto, cpu or cuda, got {name!r}")
    if device.type == "cuda" and world_size() > 1:
        if ":" in name or ranks > found:
            raise ConfigError(
                f"config key 'train.device' must be 'cuda' or 'cpu' with several ranks, and every"
                f" rank have a GPU, got {name!r} for {ranks} ranks and {found} GPUs"
            )
        return _rank_gpu()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise ConfigError(f"config key 'train.device' is {name!r}, but {found} GPUs are found")
    return device


def _rank_gpu() -> torch.device:
    return torch.device("cuda", local_rank()) if world_size() > 1 else torch.device("cuda")


def choose_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Return the type that autocast computes in on this device, None for full precision."""
    if name == "auto":
        if device.type == "cpu":
            return None
        return torch.bfloat16 if _has_bfloat16() else torch.float16
    if name == "fp16" and device.type == "cpu":
        raise ConfigError(
            "config key 'train.amp' must not be 'fp16' on the CPU: use 'off' or 'bf16'"
        )
    return {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _has_bfloat16() -> bool:
    # Older GPUs emulate it, more slowly than they compute float16.
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def build_model(config: Config) -> MultiTaskNet:
    """Return the network of a config with its random weights, on the CPU."""
    model, pretext = config.model, config.pretext
    return MultiTaskNet(
        backbone=model.backbone,
        head=model.head,
        bin_width=model.bin_width,
        decode=model.decode,
        dropout=model.dropout,
        pretext=pretext.task,
        grid=pretext.grid,
        branch_point=pretext.branch_point,
        pretext_dropout=pretext.dropout,
        heads=pretext.heads,
        seed=config.train.seed,
    )


def build_task_weighting(config: Config, model: MultiTaskNet) -> nn.Module:
    """Return what makes one loss of the pose's and the pretext tasks'."""
    return build_weighting(
        config.loss.weighting,
        tasks=["pose", *model.branches],
        pretext_weight=config.pretext.weight,
    )


def learning_rate(config: Config, step: int, steps_per_epoch: int) -> float:
    """Return the rate of the update that follows `step` updates."""
    settings = config.train
    if settings.schedule == "cosine":
        return cosine_rate(
            base=settings.lr,
            step=step,
            steps_per_epoch=steps_per_epoch,
            epochs=settings.epochs,
            warmup_epochs=settings.warmup_epochs,
            final=settings.lr_final,
        )
    return step_rate(
        base=settings.lr,
        step=step,
        steps_per_epoch=steps_per_epoch,
        milestones=settings.milestones,
        gamma=settings.gamma,
        warmup_epochs=settings.warmup_epochs,
    )


def usable_samples(config: Config, dataset: Dataset) -> Dataset:
    """Return the samples this config's network can learn from: all, or those within its bins.

    Raises DataError where poses are learnt and there are none, and ConfigError where rotations are
    and the samples have none: of a direction or without a roll there are many.
    """
    if config.train.objective != "pose":
        return dataset
    if np.isnan(dataset.pose).all():
        raise DataError(
            f"{dataset.root} has no poses to learn: `hmtl pretrain` takes pictures without labels"
        )
    lacking = int(np.isnan(dataset.pose).any(axis=1).sum())
    if config.model.head == "sixd" and (lacking or dataset.convention == "direction"):
        raise ConfigError(
            f"config key 'model.head' must not be 'sixd' for samples without a roll, got"
            f" {lacking} of {len(dataset)} with convention {dataset.convention!r} in {dataset.root}"
        )
    if config.model.head != "hopenet":
        return dataset
    return dataset.subset(within_range(dataset.pose))


def initialise(backbone: ResNet, config: Config) -> None:
    """Load the weights that `model.init` names into a fresh backbone."""
    init = config.model.init
    if not init:
        return
    weights = _imagenet(config.model.backbone) if init == "imagenet" else _read(Path(init))
    try:
        load_backbone(backbone, weights)
    except ValueError as error:
        raise ConfigError(f"cannot start a {config.model.backbone} from {init}: {error}") from error


def load_network(
    run: Path, device: torch.device, weights: str = "last"
) -> tuple[PoseNetwork, Config]:
    """Return the plain trained network of a run, ready to evaluate, and the run's config.

    `weights` is as `read_weights` takes it.
    """
    saved = read_weights(run, weights)
    return plain_network(saved, device), saved.config


def read_weights(run: Path, weights: str = "last") -> checkpoint.Weights:
    """Return weights of a run: "last", "best" (at the first data set validated on), or a file's."""
    path = {"last": run / WEIGHTS, "best": run / BEST_WEIGHTS}.get(weights, Path(weights))
    return checkpoint.load_weights(path)


def plain_network(saved: checkpoint.Weights, device: torch.device) -> PoseNetwork:
    """Return the network of weights, without pretext branches, ready to evaluate."""
    if saved.config.train.objective != "pose":
        raise RunError(
            f"{saved.path} was pre-trained and has no pose head: `hmtl train` starts from it with"
            " --init"
        )
    model = build_model(saved.config.updated({"pretext.task": "none"}))
    try:
        model.load_weights(saved.tensors)
    except ValueError as error:
        raise RunError(f"{saved.path} does not fit its config: {error}") from error
    network = model.pose_network().to(device).to(memory_format=torch.channels_last)
    return network.eval()


def training_loader(config: Config, dataset: Dataset, device: torch.device) -> Loader:
    """Return the loader of this rank's part of shuffled, augmented, puzzled batches."""
    per_rank, rest = divmod(config.train.batch_size, world_size())
    if rest or per_rank == 0:
        raise ConfigError(
            f"config key 'train.batch_size' must be a multiple of the number of ranks, got"
            f" {config.train.batch_size} for {world_size()} ranks"
        )
    return Loader(
        dataset,
        batch_size=per_rank,
        augmentation=config.data.augmentation,
        seed=config.train.seed,
        device=device,
        shuffle=True,
        drop_last=True,
        on_error=config.data.on_error,
        views=2 if config.train.objective == "barlow" else 1,
        **_pretext(config),
        **_rendering(config),
    )


def evaluation_loader(
    config: Config,
    dataset: Dataset,
    device: torch.device,
    *,
    puzzled: bool = False,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Return the loader of all samples in order, as they are; `puzzled` keeps the pretext task.

    With a `world_size` above 1 it has every so manieth of them, from `rank` on, and padding.
    """
    return Loader(
        dataset,
        batch_size=-(-config.train.batch_size // world_size),
        augmentation="none",
        seed=config.train.seed,
        device=device,
        shuffle=False,
        drop_last=False,
        rank=rank,
        world_size=world_size,
        on_error=config.data.on_error,
        **(_pretext(config) if puzzled else {"pretext": "none"}),
        **_rendering(config),
    )


def _pretext(config: Config) -> dict[str, Any]:
    pretext = config.pretext
    return {
        "pretext": pretext.task,
        "grid": pretext.grid,
        "puzzled_fraction": pretext.puzzled_fraction,
    }


def _rendering(config: Config) -> dict[str, Any]:
    data = config.data
    return {
        "size": data.size,
        "fit": data.fit,
        "engine": data.engine,
        "decode": data.decode,
        "num_threads": data.num_threads or max(1, usable_cores() // local_world_size()),
        "prefetch": data.prefetch,
    }


def imagenet_file(backbone: str) -> tuple[Path, str]:
    """Return where torchvision keeps ImageNet weights (IMAGENET1K_V1), and where they come from."""
    url: str = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"].url
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2], url


def _imagenet(backbone: str) -> Mapping[str, Tensor]:
    """Return torchvision's ImageNet weights (IMAGENET1K_V1), from its cache or the network."""
    weights = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
    path, url = imagenet_file(backbone)
    if path.exists():
        return read_tensors(path)
    try:
        state: dict[str, Tensor] = dict(weights.get_state_dict(check_hash=True, weights_only=True))
    except (URLError, OSError) as error:
        raise RunError(f"cannot fetch {url} ({error}): put that file at {path}") from error
    return state


def _read(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors by name in a safetensors or torch file, or in the weights of a run."""
    if path.is_dir():
        path = path / WEIGHTS
    if not path.is_file():
        raise ConfigError(f"config key 'model.init' must be imagenet, a file or a run, got {path}")
    # Training scripts often keep the weights under a key of their own.
    return {name.removeprefix("state_dict."): value for name, value in read_tensors(path).items()}
