"""Head-pose estimation with self-supervised puzzles, and the loader under it."""

__version__ = "0.1.0"
