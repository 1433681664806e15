"""A whole data set looked at: every label read, every image decoded, what is wrong named."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hmtl.data.checks.checksums import check_checksums
from hmtl.data.checks.counts import check_published, check_rendered, rendered_count
from hmtl.data.checks.findings import Findings, counts_by_kind
from hmtl.data.checks.images import inspect_images
from hmtl.data.checks.labels import check_boxes, check_poses
from hmtl.data.checks.samples import union
from hmtl.data.checks.subjects import check_against, check_splits
from hmtl.data.columns import Columns
from hmtl.data.layouts.layout import Layout, OnProblem, Problem, Request
from hmtl.data.layouts.registry import absolute, find_layout
from hmtl.data.opening import make_request
from hmtl.errors import ConfigError, DataError

# Kinds of problems that an incomplete copy has.
ABSENT_SPLIT, MISSING_FILE, UNLISTED_FILE = "split", "missing file", "unlisted file"

OnProgress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is done, and of how much where that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a check found."""

    layout: str
    root: Path
    splits: tuple[str, ...]
    """The splits that were looked at, of a layout that has some."""
    n: int
    """Samples whose labels can be used."""
    published: int | None
    """How many samples were published, where that is known."""
    rendered: int | None
    """How many samples were rendered, where `hmtl.synth` did it."""
    errors: list[Problem]
    """What cannot be read or is wrong."""
    notes: list[Problem]
    """What is unusual or not there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """One split, or a data set that has none."""

    split: str | None
    columns: Columns
    published: int | None


def check_dataset(
    root: str | os.PathLike[str],
    layout: str | None = None,
    *,
    splits: Sequence[str] = (),
    crop: str | None = None,
    boxes: str | os.PathLike[str] | None = None,
    against: Sequence[str | os.PathLike[str]] = (),
    complete: bool = False,
    threads: int = 0,
    on_progress: OnProgress = lambda _what, _done, _total: None,
) -> Report:
    """Read every label, decode every image, and report what is wrong.

    All splits are looked at unless some are named. `against` are data sets that must not share a
    subject with this one. Fewer samples than were published are noted, or wrong where the data set
    has to be `complete`. `threads` of 0 are one per core. Raises ConfigError for an argument that
    the layout does not know and DataError where no layout is found.
    """
    known, location = find_layout(Path(root), layout)
    if complete and known.published is None and known.audit is None:
        raise ConfigError(f"layout {known.name!r} does not say what a complete copy has")
    requests = [
        make_request(known, split=split, crop=crop, boxes=boxes)
        for split in splits or known.splits or (None,)
    ]
    folder = location if location.is_dir() else location.parent
    findings = Findings()

    on_progress("reading labels", 0, None)
    is_whole = not splits and boxes is None
    rendered = rendered_count(location, known.name, findings) if is_whole else None
    # What was rendered may have fewer splits than what was published.
    absent_is_error = (complete or bool(splits)) if rendered is None else None
    parts = list(_read(known, location, requests, findings, absent_is_error=absent_is_error))
    samples = union([part.columns for part in parts])
    _audit(known, location, findings, complete=complete)
    _verify(known, location, findings, on_progress)
    check_splits(folder, {part.split or "": part.columns for part in parts}, findings)
    for other in against:
        on_progress(f"reading labels of {other}", 0, None)
        _compare(known, samples, absolute(other), findings)
    _check_samples(folder, samples, findings, threads, on_progress)
    n = len(samples.extent)
    published = None
    if len(parts) < len(requests):
        # How many samples there are is not known.
        rendered = None
    elif rendered is not None:
        check_rendered(location, n, rendered, findings)
    else:
        published = _check_counts(location, parts, findings, complete=complete)
    if not n and not findings.errors:
        findings.error("count", _nothing_in(known, location, findings))
    return Report(
        layout=known.name,
        root=folder,
        splits=tuple(request.split for request in requests if request.split is not None),
        n=n,
        published=published,
        rendered=rendered,
        errors=findings.errors,
        notes=findings.notes,
    )


def to_json(report: Report) -> dict[str, Any]:
    """Return a report as plain values.

    Keys: `layout`, `root`, `splits` (names), `n` (samples with usable labels), `published` and
    `rendered` (how many there should be, or null), `counts` (by kind the numbers of `errors` and
    `notes`), `errors` and `notes` (each `kind`, `file` below the root or "", `message`, and
    `files`, all of them where the message is about many and names the first).
    """

    def plain(problems: Iterable[Problem]) -> list[dict[str, Any]]:
        return [
            {"kind": p.kind, "file": p.path, "message": p.message, "files": list(p.files)}
            for p in problems
        ]

    return {
        "layout": report.layout,
        "root": str(report.root),
        "splits": list(report.splits),
        "n": report.n,
        "published": report.published,
        "rendered": report.rendered,
        "counts": counts_by_kind(report.errors, report.notes),
        "errors": plain(report.errors),
        "notes": plain(report.notes),
    }


def _read(
    layout: Layout,
    location: Path,
    requests: Iterable[Request],
    findings: Findings,
    *,
    absent_is_error: bool | None,
) -> Iterator[_Part]:
    """Yield what can be read; what cannot is an error.

    A split of which nothing is there may be a note instead, or (None) as it should be.
    """

    def on_problem(problem: Problem) -> None:
        if problem.kind != ABSENT_SPLIT:
            findings.add(problem, is_error=True)
        elif absent_is_error is not None:
            findings.add(problem, is_error=absent_is_error)

    for request in requests:
        try:
            columns = _columns(layout, location, request, on_problem)
        except (DataError, OSError) as error:
            findings.error("data set", str(error))
            continue
        published = layout.published(columns, request) if layout.published else None
        yield _Part(split=request.split, columns=columns, published=published)


def _audit(layout: Layout, location: Path, findings: Findings, *, complete: bool) -> None:
    """Name the files that a list and the folder do not have in common."""
    if layout.audit is None:
        return
    try:
        for problem in layout.audit(location):
            findings.add(problem, is_error=complete and problem.kind == MISSING_FILE)
    except (DataError, OSError) as error:
        findings.error("data set", str(error))


def _verify(layout: Layout, location: Path, findings: Findings, on_progress: OnProgress) -> None:
    """Compare the files with what the data set itself says of them."""
    if layout.verify is not None:
        on_progress("reading shards", 0, None)
        layout.verify(location, lambda problem: findings.add(problem, is_error=True))


def _columns(layout: Layout, location: Path, request: Request, on_problem: OnProblem) -> Columns:
    return layout.read(location, layout.scan(location, request), request, on_problem)


def _compare(layout: Layout, samples: Columns, other: Path, findings: Findings) -> None:
    """Find the subjects that the data set `other` has too."""
    its_layout, location = find_layout(other)
    if its_layout.name != layout.name:
        message = f"subjects of {layout.name} and {its_layout.name} have no common names: {other}"
        findings.note("subject", message)
        return
    for split in its_layout.splits or (None,):
        request = make_request(its_layout, split=split)
        columns = _columns(its_layout, location, request, lambda _problem: None)
        check_against(samples, columns.subjects, other, findings)


def _check_samples(
    folder: Path, samples: Columns, findings: Findings, threads: int, on_progress: OnProgress
) -> None:
    check_checksums(samples, findings)
    check_poses(samples, findings)
    sizes = inspect_images(
        folder,
        samples,
        findings,
        threads=threads,
        on_progress=lambda done, total: on_progress("decoding images", done, total),
    )
    check_boxes(folder, samples, sizes, findings)


def _check_counts(
    location: Path, parts: Sequence[_Part], findings: Findings, *, complete: bool
) -> int | None:
    """Compare each part with what was published; return how many that were, if it is known."""
    for part in parts:
        if part.published is not None:
            where = f"{location} ({part.split})" if part.split else f"{location}"
            n = len(part.columns.extent)
            check_published(where, n, part.published, findings, complete=complete)
    return parts[0].published if len(parts) == 1 else None


def _nothing_in(layout: Layout, location: Path, findings: Findings) -> str:
    """Return the message about a data set that can be read and has no sample."""
    unlisted = [problem.path for problem in findings.notes if problem.kind == UNLISTED_FILE]
    if not unlisted:
        return f"no samples in {location}, looked for {layout.looks_for}"
    of_files = f"{len(unlisted)} file{'s' * (len(unlisted) != 1)}"
    there = f"{of_files} there that the list does not name, the first is {unlisted[0]}"
    return f"no samples in {location}, but {there}: is the list whole?"
