"""Poses of faces on pictures and videos, from a trained run."""
