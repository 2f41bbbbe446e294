"""What the page shows beyond figures: decoders, codes, maps, nearest images, missing modes."""

from diptych.study.evidence.write import choose_queries, write_evidence

__all__ = ["choose_queries", "write_evidence"]
