"""The ways of a batch through the core: to images, or to pictures that a device renders."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hmtl import _core
from hmtl.data.buffers import Pixels, fresh
from hmtl.data.engine import Parts, Pictures, Sources, Work


class ToImages:
    """All stages on threads of the core."""

    def __init__(self, core: _core.BatchRenderer, settings: _core.RenderSettings) -> None:
        self._core = core
        self._settings = settings
        self.allocate = fresh

    def from_files(self, work: Work, *, urgent: bool) -> int:
        assert not isinstance(work.target, Pictures)
        return self._core.submit(
            extent=work.extent,
            params=work.params,
            settings=self._settings,
            urgent=urgent,
            **work.target,
        )

    def from_pictures(
        self,
        work: Work,
        sources: Sources,
        elsewhere: npt.NDArray[np.bool_],  # noqa: ARG002 — all addresses are the host's
        memory: Parts,
    ) -> int:
        assert not isinstance(work.target, Pictures)
        return self._core.submit_decoded(
            extent=work.extent,
            params=work.params,
            sources=sources,
            settings=self._settings,
            pixels=memory,
            **work.target,
        )


class ToPictures:
    """Only what comes before the crop; the pixels lie where a device can copy them from."""

    def __init__(
        self,
        core: _core.BatchRenderer,
        settings: _core.RenderSettings,
        allocate: Callable[[int], Pixels],
    ) -> None:
        self._core = core
        self._settings = settings
        self.allocate = allocate

    def from_files(self, work: Work, *, urgent: bool) -> int:
        assert isinstance(work.target, Pictures)
        slots = np.cumsum(
            [0, *_core.slot_bytes(extent=work.extent, params=work.params, settings=self._settings)]
        )
        work.target.pixels = self.allocate(int(slots[-1]))
        return self._core.submit_decoding(
            extent=work.extent,
            params=work.params,
            slots=slots,
            pixels=work.target.pixels,
            sources=work.target.sources,
            settings=self._settings,
            urgent=urgent,
        )

    def from_pictures(
        self, work: Work, sources: Sources, elsewhere: npt.NDArray[np.bool_], memory: Parts
    ) -> None:
        assert isinstance(work.target, Pictures)
        work.target.sources[:] = sources
        work.target.elsewhere[:] = elsewhere
        work.target.pixels = memory.by_core
        work.target.memory = memory.by_other
