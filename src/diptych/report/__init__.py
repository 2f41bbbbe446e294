"""The report room: a study directory in, one self-contained page out.

Nothing here imports torch; the room reads JSON, JSON lines and PNG files, so a page can be built
again on any machine from the files alone.
"""

from diptych.report.writing import FORMATS, render_markdown, report_json, write_report

__all__ = ["FORMATS", "render_markdown", "report_json", "write_report"]
