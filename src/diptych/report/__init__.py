"""The report room: a study directory in, one self-contained page out.

Nothing here imports torch; the room reads JSON, JSON lines and PNG files, so a page can be built
again on any machine from the files alone.
"""

from diptych.report.page import write_report

__all__ = ["write_report"]
