"""Rendered heads at exactly known poses, written in published layouts.

Apart from `hmtl.data`, so that the worker processes start without importing torch.
"""

from hmtl.synth.identity import NEUTRAL, Expression, Identity, draw_expression, draw_identity
from hmtl.synth.layouts import LAYOUTS, render_dataset
from hmtl.synth.scene import Rendered, render_head

__all__ = [
    "LAYOUTS",
    "NEUTRAL",
    "Expression",
    "Identity",
    "Rendered",
    "draw_expression",
    "draw_identity",
    "render_dataset",
    "render_head",
]
