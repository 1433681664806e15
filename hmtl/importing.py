"""Backbones that others trained, under torchvision's names.

A file may hold a backbone anywhere: below `model.module.backbone.` (facebookresearch/barlowtwins),
below `state_dict.backbone.` (solo-learn), as the numbered children of an `nn.Sequential` (lightly).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hmtl.errors import ConfigError, RunError
from hmtl.models.backbone import BACKBONES, build_backbone
from hmtl.tensor_files import write_tensors

MIN_SHARE = 0.9
"""The part of a backbone's tensors that a file must hold."""

_STAGES = ("layer1", "layer2", "layer3", "layer4")
# The places of torchvision's children in `nn.Sequential(*resnet.children())`.
_NUMBERED = {"conv1": "0", "bn1": "1"} | {name: f"{n}" for n, name in enumerate(_STAGES, start=4)}
_COUNTER = "num_batches_tracked"
# Every ResNet has it, and it stands below the backbone's own name only.
_LANDMARK = "layer1.0.conv1.weight"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What of a backbone a file holds."""

    backbone: str
    prefix: str
    """What stands before torchvision's names in the file."""
    matched: Mapping[str, Tensor]
    """By torchvision's name, those of equal name and shape. Batch counters are not counted."""
    sources: Mapping[str, str]
    """The name in the file of each matched tensor."""
    missing: Sequence[str]
    """torchvision's names that the file does not hold."""
    reshaped: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Those of another shape: the file's, the backbone's."""
    left_over: Sequence[str]
    """Names in the file that are no part of the backbone."""

    @property
    def expected(self) -> int:
        return len(self.matched) + len(self.missing) + len(self.reshaped)

    @property
    def share(self) -> float:
        return len(self.matched) / self.expected


def fit_backbone(
    tensors: Mapping[str, Tensor], backbone: str, strip_prefix: str | None = None
) -> Fit:
    """Return what `tensors` hold of a backbone; the prefix under which most fits is found.

    `strip_prefix` names it instead, whole or its end (`module.backbone.`). ConfigError if several
    prefixes fit equally well, as with a teacher and its student, or if none is the named one.
    """
    prefixes = _prefixes(tensors)
    if strip_prefix is not None:
        prefixes = _named(prefixes, tensors, strip_prefix)
    # The shapes are all that counts, so nothing is allocated.
    with torch.device("meta"):
        own = build_backbone(backbone).state_dict()
    fits = [_fit(tensors, own, backbone, prefix) for prefix in prefixes or [""]]
    most = max(len(fit.matched) for fit in fits)
    best = [fit for fit in fits if len(fit.matched) == most]
    if most and len(best) > 1:
        raise ConfigError(
            f"{len(best)} backbones fit equally well, choose one with --strip-prefix:"
            f" {', '.join(fit.prefix or repr('') for fit in best)}"
        )
    return best[0]


def better_backbone(tensors: Mapping[str, Tensor], fit: Fit) -> Fit | None:
    """Return how another backbone fits under the same prefix, if one fits well enough."""
    others = (fit_backbone(tensors, name, fit.prefix) for name in BACKBONES if name != fit.backbone)
    return max((other for other in others if other.share >= MIN_SHARE), key=_share, default=None)


def write_backbone(path: Path, fit: Fit, source: str) -> None:
    """Write a backbone as safetensors under torchvision's names, float32, for `--init`.

    What the file lacks, or has in another shape, keeps random initial values; the metadata names
    it, and `source`. RunError under 90 %, and for values that are not finite.
    """
    if fit.share < MIN_SHARE:
        raise RunError(
            f"{source} holds {len(fit.matched)} of the {fit.expected} tensors of a {fit.backbone}"
            f" ({fit.share:.0%}), at least {MIN_SHARE:.0%} must match by name and shape"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        state = dict(build_backbone(fit.backbone).state_dict())
    for name, tensor in fit.matched.items():
        if not tensor.isfinite().all():
            raise RunError(f"{fit.sources[name]} in {source} has values that are not finite")
        state[name] = tensor.to(torch.float32)
    metadata = {
        "backbone": fit.backbone,
        "source": source,
        "prefix": fit.prefix,
        "initialised": json.dumps([*fit.missing, *fit.reshaped]),
    }
    write_tensors(path, state, metadata)


def _share(fit: Fit) -> float:
    return fit.share


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what stands before a ResNet's names, once for each ResNet that seems to be there."""
    landmarks = (_LANDMARK, _numbered(_LANDMARK))
    return sorted(
        {
            name.removesuffix(landmark)
            for name in tensors
            for landmark in landmarks
            if name == landmark or name.endswith(f".{landmark}")
        }
    )


def _named(prefixes: list[str], tensors: Mapping[str, Tensor], given: str) -> list[str]:
    """Return the prefixes that are `given` or end with it, else `given` where names begin so."""
    wanted = given if not given or given.endswith(".") else f"{given}."
    exact = [prefix for prefix in prefixes if prefix == wanted]
    ends = [prefix for prefix in prefixes if prefix.endswith(f".{wanted}")] if wanted else []
    if exact or ends:
        return exact or ends
    if any(name.startswith(wanted) for name in tensors):
        return [wanted]
    known = ", ".join(prefix or repr("") for prefix in prefixes) or "no backbone's"
    raise ConfigError(f"no tensor is named {wanted}…, --strip-prefix may be: {known}")


def _fit(
    tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], backbone: str, prefix: str
) -> Fit:
    is_numbered = prefix + _numbered(_LANDMARK) in tensors
    matched: dict[str, Tensor] = {}
    sources: dict[str, str] = {}
    missing: list[str] = []
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    counters: set[str] = set()
    for name, shape in ((name, tuple(tensor.shape)) for name, tensor in own.items()):
        source = prefix + (_numbered(name) if is_numbered else name)
        if name.endswith(_COUNTER):
            counters.add(source)
        elif source not in tensors:
            missing.append(name)
        elif tuple(tensors[source].shape) != shape or not tensors[source].is_floating_point():
            reshaped[name] = (tuple(tensors[source].shape), shape)
            sources[name] = source
        else:
            matched[name], sources[name] = tensors[source], source
    used = counters.union(sources.values())
    return Fit(
        backbone=backbone,
        prefix=prefix,
        matched=matched,
        sources=sources,
        missing=missing,
        reshaped=reshaped,
        left_over=[name for name in tensors if name not in used],
    )


def _numbered(name: str) -> str:
    """Return a torchvision name with its first part as a child's number."""
    child, _, rest = name.partition(".")
    return f"{_NUMBERED[child]}.{rest}"
