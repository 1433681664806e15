"""The extras of the package, and files that hmtl looks for."""

import os
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from hmtl.assemble import imagenet_file
from hmtl.data.index import cache_folder
from hmtl.doctor.finding import Finding
from hmtl.models.backbone import BACKBONES

EXTRAS, FILES = "extras", "files"

# What they are for; those of developers are left out.
_USES = {
    "export": "hmtl export",
    "tensorboard": "--tensorboard",
    "video": "videos, webcams and face detection in hmtl predict",
}
_REQUIREMENT = re.compile(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]")


def extras() -> Iterator[Finding]:
    """Yield what each extra brings, or how to get it."""
    for extra, names in required_by_extra(metadata.requires("hmtl") or []).items():
        if extra not in _USES:
            continue
        found = {name: _version(name) for name in names}
        missing = [name for name, version in found.items() if version is None]
        text = ", ".join(f"{name} {version}" for name, version in found.items() if version)
        if missing:
            text = f"{', '.join(missing)} missing, for {_USES[extra]}"
        yield Finding(
            part=EXTRAS,
            name=extra,
            state="missing" if missing else "ok",
            text=text,
            remedy=f"pip install 'hmtl[{extra}]'" if missing else "",
        )


def required_by_extra(requirements: list[str]) -> Mapping[str, list[str]]:
    """Return the names of packages by extra, of requirements as package metadata have them."""
    found: dict[str, list[str]] = {}
    for requirement in requirements:
        if match := _REQUIREMENT.match(requirement):
            found.setdefault(match[2], []).append(match[1])
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def files() -> Iterator[Finding]:
    """Yield where indexes are cached, and which ImageNet weights are on this machine."""
    cache = cache_folder()
    existing = next(path for path in (cache, *cache.absolute().parents) if _exists(path))
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    yield Finding(
        part=FILES,
        name="index cache",
        state="ok" if writable else "broken",
        text=str(cache) if writable else f"{existing} cannot be written to",
        remedy="" if writable else "set XDG_CACHE_HOME to a folder that can be",
    )
    for backbone in BACKBONES:
        path, url = imagenet_file(backbone)
        is_there = _exists(path)
        yield Finding(
            part=FILES,
            name=f"ImageNet {backbone}",
            state="ok" if is_there else "missing",
            text=str(path) if is_there else "fetched by --init imagenet when it is needed",
            remedy="" if is_there else f"without a network: put {url} at {_short(path)}",
        )


def _exists(path: Path) -> bool:
    """Return whether a path is there; False, unlike `Path.exists`, where nobody may look."""
    return os.path.exists(path)  # noqa: PTH110


def _short(path: Path) -> str:
    """Return a path that begins with the home folder with ~ for that."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
