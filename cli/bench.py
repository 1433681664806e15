"""`hmtl bench`: where the time goes."""

import click

from .bench_loader import loader
from .bench_step import step


@click.group("bench")
def bench() -> None:
    """Show where the time goes, with your own data and settings."""


for command in (loader, step):
    bench.add_command(command)
