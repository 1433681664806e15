"""Rendered heads at exactly known poses, written in published layouts.

Apart from `hmtl.data`, so that the worker processes start without importing torch.
"""

from hmtl.synth.dataset import render_dataset
from hmtl.synth.identity import NEUTRAL, Expression, Identity, draw_expression, draw_identity
from hmtl.synth.job import LAYOUTS
from hmtl.synth.samples import pose_of
from hmtl.synth.scene import Rendered, render_head

__all__ = [
    "LAYOUTS",
    "NEUTRAL",
    "Expression",
    "Identity",
    "Rendered",
    "draw_expression",
    "draw_identity",
    "pose_of",
    "render_dataset",
    "render_head",
]
