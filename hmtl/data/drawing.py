"""What is drawn for rows of a dataset, and the poses that come of it."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.dataset import Dataset
from hmtl.data.options import RenderOptions
from hmtl.pose import in_plane_turn

PADDING = -1
"""Index of a row that only fills up a rank's last batch."""


class Drawing:
    """Params and poses of any rows in any epoch."""

    def __init__(self, dataset: Dataset, options: RenderOptions, seed: int) -> None:
        self._dataset = dataset
        self._views = options.views
        self._settings = options.draw_settings()
        self._seed = seed

    def params(self, rows: npt.NDArray[np.int64], epoch: int) -> npt.NDArray[Any]:
        """Return the params (N, V) of these rows."""
        return _core.draw_params(
            settings=self._settings,
            seed=self._seed,
            epoch=epoch,
            samples=rows,
            views=self._views,
            face=self._dataset.face[rows],
            box=self._dataset.box[rows],
        )

    def turned_poses(
        self, rows: npt.NDArray[np.int64], params: npt.NDArray[Any]
    ) -> npt.NDArray[np.float32]:
        """Return the poses (N, 3) of rows after the turns of the whole image, before the mirror."""
        poses = self._dataset.pose[rows]
        quarters = params["turn"][:, 0]
        turned = quarters != 0
        if turned.any():
            # Quarters are counter-clockwise.
            clockwise = -90.0 * quarters[turned]
            poses[turned] = in_plane_turn(poses[turned], clockwise, self._dataset.convention)
        return poses


def real_rows(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows in front of the padding."""
    return index[: np.count_nonzero(index != PADDING)]
