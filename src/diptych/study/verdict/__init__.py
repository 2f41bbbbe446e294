"""The verdict: questions answered by named metrics, uses, folklore. Free of torch.

`judge` takes the table of a study and says what it shows, and where it cannot tell.
"""

from diptych.study.verdict.judge import judge
from diptych.study.verdict.words import Answer, Comparison, Folklore, Recommendation, Verdict

__all__ = ["Answer", "Comparison", "Folklore", "Recommendation", "Verdict", "judge"]
