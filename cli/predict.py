"""`hmtl predict`: the poses of faces on pictures and videos."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import click

from hmtl.errors import ConfigError, DataError

from . import options
from .console import encodable, no_warnings, printable, progress

if TYPE_CHECKING:
    from hmtl.pose import Convention
    from hmtl.predict.boxes import Locate
    from hmtl.predict.shots import Seen, Source

FAILED = 1
TERMINATED = 128 + signal.SIGTERM


@click.command(
    epilog="Example: hmtl predict run photos clip.mp4 --out poses.csv --draw drawn",
)
@click.argument("run", metavar="RUN", type=options.PATH)
@click.argument("given", metavar="INPUT...", nargs=-1, required=True)
@click.option("--box", metavar="X0,Y0,X1,Y1", help="The face, px; the same on all inputs.")
@click.option(
    "--boxes",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The faces: a CSV with path,x0,y0,x1,y1 and, for videos, frame.",
)
@click.option(
    "--detector",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Find the faces with OpenCV's YuNet, whose ONNX file this is.",
)
@click.option(
    "--margin",
    metavar="F",
    type=float,
    help="Widen boxes to squares of F times the longer side; 1.3 with --detector.",
)
@click.option("--out", metavar="FILE", type=options.PATH, help="Write a .csv or .json file.")
@click.option("--draw", metavar="DIR", type=options.PATH, help="Draw on copies of the inputs.")
@click.option(
    "--every",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    help="Look at every Nth frame of videos.",
)
@options.weights
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    run: Path,
    given: tuple[str, ...],
    box: str | None,
    boxes: Path | None,
    detector: Path | None,
    margin: float | None,
    out: Path | None,
    draw: Path | None,
    every: int,
    weights: str,
) -> None:
    """Give the poses of faces with the weights of a RUN: yaw, pitch, roll in degrees.

    An INPUT is a JPEG or PNG, a folder of them, a video or a camera: webcam, webcam:1. Without
    --box, --boxes or --detector the whole picture is the face.

    On a terminal there is a line for each face; elsewhere they are CSV. What cannot be read is
    named on stderr, and the exit code is then 1. Ctrl-C ends a long video, as SIGTERM does; --out
    keeps what is known by then.
    """
    from hmtl.predict.boxes import whole
    from hmtl.predict.inputs import find_inputs
    from hmtl.predict.shots import Tally, Video

    _check_options((box, boxes, detector), margin)
    sources = find_inputs(given)
    _check_out(out, (boxes, detector))
    if draw is not None:
        from hmtl.predict.drawings import check_folder

        check_folder(draw, given)
    _check_opencv(sources, detector)
    locate = _locate(box, boxes, detector, margin)

    from hmtl.assemble import choose_device, load_network
    from hmtl.predict.job import predict_sources

    network, config = load_network(run, choose_device("auto"), weights)
    convention: Convention = config.data.convention or "euler"
    if locate is whole:
        click.echo(
            "the whole picture is taken for the face; where it is only a part of it, poses make no"
            " sense: use --box, --boxes or --detector",
            err=True,
        )
    if convention == "direction":
        click.echo(f"{printable(str(run))} has learnt directions, which have no roll", err=True)
    tally = Tally(tell=lambda text: click.echo(printable(text), err=True), by=boxes or detector)
    has_frames = any(isinstance(source, Video) for source in sources)
    with ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        keepers = _keepers(stack, out, draw, convention, has_frames=has_frames)
        seen = predict_sources(network, config, sources, locate, tally, every=every)
        faces = _hand_out(stack, seen, keepers)
    if tally.bad or tally.without:
        click.echo(
            f"faces: {faces:,}, inputs at fault: {tally.bad:,},"
            f" pictures or frames without a face: {tally.without:,}",
            err=True,
        )
    if tally.bad or not faces:
        ctx.exit(FAILED)


def _check_options(places: Sequence[object], margin: float | None) -> None:
    count = sum(place is not None for place in places)
    if count > 1:
        raise ConfigError("only one of --box, --boxes and --detector says where faces are")
    if margin is not None and count == 0:
        raise ConfigError("--margin widens boxes: it needs --box, --boxes or --detector")
    if margin is not None and not 0.0 < margin <= 100.0:
        raise ConfigError(f"--margin must be above 0 and at most 100, got {margin}")


def _check_out(out: Path | None, read: Sequence[Path | None]) -> None:
    """Refuse a file that cannot be written, or that is read from."""
    from hmtl.predict.rows import SUFFIXES

    if out is None:
        return
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out must end in {' or '.join(SUFFIXES)}, got {out}")
    if not out.absolute().parent.is_dir():
        raise ConfigError(f"--out: there is no folder {out.parent}")
    if any(path and path.resolve() == out.resolve() for path in read):
        raise ConfigError(f"--out must not be a file that is read, got {out}")


def _check_opencv(sources: Sequence["Source"], detector: Path | None) -> None:
    """Refuse what needs OpenCV where there is none, and cameras that are not there."""
    from hmtl.predict.opencv import require_opencv
    from hmtl.predict.shots import Video

    videos = [source for source in sources if isinstance(source, Video)]
    if detector is not None:
        require_opencv("--detector")
    for video in videos:
        require_opencv(video.name)
    if cameras := [video for video in videos if video.path is None]:
        from hmtl.predict.videos import check_camera

        for camera in cameras:
            check_camera(camera)


def _locate(
    box: str | None, boxes: Path | None, detector: Path | None, margin: float | None
) -> "Locate":
    from hmtl.predict.boxes import fixed, listed, parse_box, whole

    if box is not None:
        return fixed(parse_box(box), margin)
    if boxes is not None:
        return listed(boxes, margin)
    if detector is not None:
        from hmtl.predict.detector import MARGIN, yunet

        return yunet(detector, MARGIN if margin is None else margin)
    return whole


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the command as Ctrl-C does, so that its files are completed."""
    # Only the main thread may change how a process answers signals.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        # One more must not end the completing.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


Keep = Callable[["Seen"], None]


def _keepers(
    stack: ExitStack,
    out: Path | None,
    draw: Path | None,
    convention: "Convention",
    *,
    has_frames: bool,
) -> list[Keep]:
    """Return what shows and keeps the faces of a picture or frame."""
    from hmtl.predict.rows import PoseFile

    # What shows progress takes the place of sys.stdout meanwhile.
    stdout = sys.stdout
    keepers: list[Keep] = [_lines(stdout) if stdout.isatty() else _csv(stdout, has_frames)]
    if out is not None:
        try:
            keepers.append(stack.enter_context(PoseFile(out, has_frames=has_frames)).add)
        except OSError as error:
            raise DataError(f"cannot write {out}: {error.strerror}") from error
    if draw is not None:
        from hmtl.predict.drawings import Drawings

        drawings = Drawings(draw, convention)
        stack.callback(drawings.close)
        keepers.append(drawings.add)
    return keepers


def _lines(stdout: TextIO) -> Keep:
    """Return what shows a person the angles, and after them the face that has them."""
    click.echo(f"{'yaw':>7} {'pitch':>7} {'roll':>7}  face", file=stdout)

    def show(seen: "Seen") -> None:
        for box, pose in zip(seen.boxes, seen.poses.tolist(), strict=True):
            angles = " ".join(f"{'–' if angle != angle else f'{angle:.1f}':>7}" for angle in pose)
            place = ",".join(f"{edge:.0f}" for edge in box)
            line = f"{angles}  {printable(seen.shot.name)} {place}"
            click.echo(encodable(line), file=stdout)

    return show


def _csv(stdout: TextIO, has_frames: bool) -> Keep:
    from hmtl.predict.rows import columns, csv_line, values_of

    click.echo(csv_line(columns(has_frames=has_frames)), file=stdout, nl=False)

    def write(seen: "Seen") -> None:
        name = printable(seen.shot.source.name)
        lines = [csv_line(values) for values in values_of(seen, name, has_frames=has_frames)]
        click.echo(encodable("".join(lines)), file=stdout, nl=False)

    return write


def _hand_out(stack: ExitStack, all_seen: Iterator["Seen"], keepers: Sequence[Keep]) -> int:
    """Give everything that is seen to all keepers; return the number of faces."""
    # The loader logs at its end what the tally has told already.
    stack.enter_context(no_warnings("hmtl.data"))
    # A bar would run into the lines.
    show = None if sys.stdout.isatty() else stack.enter_context(progress())
    faces = 0
    try:
        for seen in all_seen:
            for keep in keepers:
                keep(seen)
            faces += len(seen.boxes)
            if show is not None:
                what = "pictures" if seen.shot.frame is None else seen.shot.source.name
                show(what, seen.done, seen.total)
    except (KeyboardInterrupt, SystemExit):
        click.echo(f"stopped after {faces:,} faces", err=True)
        raise
    return faces
