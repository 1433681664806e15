"""`hmtl doctor`: what is built in, what is missing and how to get it."""

import dataclasses

import click

from .console import encodable, json_text, printable

BROKEN = 1
_MARKS = {"ok": "ok", "missing": "--", "broken": "!!"}


@click.command(epilog="Example: hmtl doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Examine this machine and this installation, and say how to get what is missing.

    Renders small pictures with every engine and compares them. The exit code is 1 where something
    does not work as it should (!!), 0 where something is only missing (--). JSON is a list of
    part, name, state (ok, missing or broken), text and remedy.
    """
    from hmtl.doctor.examine import examine

    findings = []
    part = ""
    for finding in examine():
        findings.append(finding)
        if as_json:
            continue
        if finding.part != part:
            part = finding.part
            click.echo(part)
        click.echo(_line(f"  {_MARKS[finding.state]} {finding.name}: {finding.text}"))
        if finding.remedy:
            click.echo(_line(f"     {finding.remedy}"))
    if as_json:
        click.echo(json_text([dataclasses.asdict(finding) for finding in findings]))
    ctx.exit(BROKEN if any(finding.state == "broken" for finding in findings) else 0)


def _line(text: str) -> str:
    return encodable(printable(text))
