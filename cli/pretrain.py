"""`hmtl pretrain`: a backbone to start from, learnt without labels."""

from typing import TYPE_CHECKING

import click

from . import options, training

if TYPE_CHECKING:
    from hmtl.data import Dataset


@click.command(
    epilog="Example: hmtl pretrain pretrain/barlow --data xgaze --out barlow, then"
    " hmtl train table4/barlow --data 300W_LP --init barlow --out run"
)
@training.run_options
@click.option(
    "--probe-subjects",
    metavar="NAMES|N",
    help="People to judge the features by, not trained on; the paper's, or a tenth of all.",
)
def pretrain(request: training.Request, probe_subjects: str | None) -> training.Job:
    """Pre-train with the PRESET, a name or a TOML file, into a run folder.

    Labels are not learnt. Where DIR has some, regressions from the frozen features onto the poses
    of people who are left out tell after every epoch what the features know. A folder of pictures
    without labels is opened with --layout images.
    """
    preset, config = training.choose(request, "pretrain", ["pretext", "barlow"])

    import numpy as np

    data = training.open_data(request, config)
    held_out: list[Dataset] = []
    if np.isnan(data.pose).all():
        if probe_subjects is not None:
            raise click.UsageError(f"--probe-subjects needs poses, but {data.root} has none")
        options.tell(f"{data.root} has no poses: the features are not probed")
    elif config.probe.samples:
        data, people = options.hold_out(data, probe_subjects)
        held_out = [people]
    return training.Job(preset=preset, config=config, data=data, validation=held_out)
