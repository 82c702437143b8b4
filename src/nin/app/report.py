"""How is `nin report` carried out? Writes the report of a run again."""

from nin.app.options import Report
from nin.runs.report import write_report


def main(options: Report) -> int:
    """Write the report and print its path."""
    print(write_report(options.run))
    return 0
