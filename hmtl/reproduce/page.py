"""The page of a table: the numbers side by side, the curves, and what was run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hmtl import plots
from hmtl.report import Section, Table, render_report
from hmtl.reproduce.document import ANGLES
from hmtl.reproduce.outcome import look_at
from hmtl.reproduce.plan import Plan
from hmtl.reproduce.tables import row_name
from hmtl.runlog import Entry

# As many as have a colour of their own.
_CURVES = 4

_LEAD = (
    "The paper's numbers beside those of the last weights of runs with its settings, errors in"
    " degrees. No epoch was chosen by the test set. Difference: ours less the paper's."
)


def render_page(plan: Plan, found: Mapping[str, Any]) -> str:
    """Return the page of a table, given its document."""
    title = f"{found['title']} ({found['note']})" if found["note"] else found["title"]
    runs = [run for row in found["rows"] for run in row["runs"]]
    sections = [
        Section(heading="Errors, degrees", table=_errors(found["rows"])),
        *(
            Section(heading="Training, first seed", png=plots.png(plots.training_curves(logs)))
            for logs in _in_parts(_logs(plan))
        ),
        Section(heading="Runs", table=_runs([*found["pretraining"], *runs])),
    ]
    return render_report(title, _LEAD, sections)


def _errors(rows: Sequence[Mapping[str, Any]]) -> Table:
    sides = [f"{whose} {angle}" for whose in ("paper", "ours") for angle in ANGLES]
    cells = []
    for row in rows:
        for compared in row["comparisons"]:
            paper = [paper_number(compared, angle) for angle in ANGLES]
            ours = [our_number(compared, angle) for angle in ANGLES]
            difference = _number(compared["difference"], "mean", "+.3f")
            seeds = ", ".join(map(str, compared["seeds"]))
            counted = [compared["protocol"], str(compared.get("n", "–")), compared.get("crop", "–")]
            name = [f"{row['title']} ({row['row']})", row["starts_from"]]
            cells.append([*name, *paper, *ours, difference, *counted, seeds or "–"])
    header = ["row", "starts from", *sides, "difference", "protocol", "n", "crop", "seeds"]
    return Table(header=header, rows=cells)


def paper_number(compared: Mapping[str, Any], angle: str) -> str:
    """Return a number of the paper as text."""
    return _number(compared["paper"], angle)


def our_number(compared: Mapping[str, Any], angle: str) -> str:
    """Return a mean over seeds with its standard deviation, as text; "–" where there is none."""
    deviation = _number(compared["deviation"], angle)
    number = _number(compared["ours"], angle)
    return number if deviation == "–" else f"{number} ±{deviation}"


def _number(numbers: Mapping[str, float] | None, angle: str, form: str = ".3f") -> str:
    return format(numbers[angle], form) if numbers and angle in numbers else "–"


def _runs(runs: Sequence[Mapping[str, Any]]) -> Table:
    header = ["run", "state", "hmtl", "torch", "device", "precision", "commands"]
    rows = []
    for run in runs:
        versions = run.get("versions", {})
        made = [versions.get("hmtl", "–"), versions.get("torch", "–")]
        made += [run.get("device", "–"), run.get("precision", "–")]
        state = f"{run['state']}: {run['error']}" if run["error"] else run["state"]
        rows.append([run["run"], state, *made, "; ".join(run["commands"]) or "–"])
    return Table(header=header, rows=rows)


def _logs(plan: Plan) -> dict[str, Sequence[Entry]]:
    logs = {row_name(row.preset): look_at(row.runs[0]).log for row in plan.rows}
    return {name: entries for name, entries in logs.items() if entries}


def _in_parts(logs: Mapping[str, Sequence[Entry]]) -> Iterator[dict[str, Sequence[Entry]]]:
    names = list(logs)
    for first in range(0, len(names), _CURVES):
        yield {name: logs[name] for name in names[first : first + _CURVES]}
