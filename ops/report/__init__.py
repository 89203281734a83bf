"""What a change costs and does, before it is made: read from a preview, said for a pull request and a terminal.

read_preview(text)     the engine's own preview, as `pulumi preview --json` prints it (preview.py)
read_state(text)       what stands, as `pulumi stack export` prints it (state.py)
read_recorded(text)    what the program would register, without engine and cloud (recorded.py)
compared(one, other)   a plan of two recordings: forks' pull requests have nothing else
report(plan, ...)      the whole report (make.py), as data, Markdown or for a terminal
"""

from ops.report.findings import Finding, read_findings
from ops.report.make import Report, report
from ops.report.markdown import markdown
from ops.report.plan import Change, Op, Plan, Refusal, of_states
from ops.report.preview import read_preview
from ops.report.recorded import compared, read_recorded, written
from ops.report.sources import Source, read_source, unplaced
from ops.report.state import read_state
from ops.report.terminal import data, tables, title

__all__ = [
    "Change",
    "Finding",
    "Op",
    "Plan",
    "Refusal",
    "Report",
    "Source",
    "compared",
    "data",
    "markdown",
    "of_states",
    "read_findings",
    "read_preview",
    "read_recorded",
    "read_source",
    "read_state",
    "report",
    "tables",
    "title",
    "unplaced",
    "written",
]
