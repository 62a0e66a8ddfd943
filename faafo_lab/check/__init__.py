"""Checks: whether all is ready (`setup`), and whether an exercise is solved (`exercise_C_N`), on your own cloud.

    check.setup()            # a list of what the workbook needs, each with its state
    check.exercise_2_1()     # "passed", or a hint on what is still missing; the next try without success says more
    check.prediction(2.5, measured, "times the throughput")
    check.progress()         # the workbook's map: which exercises are solved, after how many tries

A check looks at the cloud and at your answer, and where it can it measures. Each takes the cloud (or its Topology);
without one it connects as `faafo_lab.connect()` does.

Its rooms:

    readiness   setup
    prediction  what the learner expected, beside what was measured
    chapter_0   the exercises of chapter 00; chapter_1 and so on: each is named below, too
    course      progress
    verdict     what a check says, in steps, and what makes a function a check
    memory      which exercises were tried and solved
    questions   what several exercises ask of a cloud; impostor: addresses where
                no API is; interruption: a cloud whose user pulls the plug
"""

from faafo_lab.check.chapter_0 import exercise_0_1, exercise_0_2, exercise_0_3
from faafo_lab.check.chapter_1 import exercise_1_1, exercise_1_2, exercise_1_3, exercise_1_4
from faafo_lab.check.chapter_2 import exercise_2_1, exercise_2_2, exercise_2_3, exercise_2_4
from faafo_lab.check.chapter_3 import exercise_3_1, exercise_3_2, exercise_3_3, exercise_3_4, exercise_3_5
from faafo_lab.check.chapter_4 import exercise_4_1, exercise_4_2, exercise_4_3, exercise_4_4, exercise_4_5
from faafo_lab.check.chapter_5 import exercise_5_1, exercise_5_2, exercise_5_3, exercise_5_4
from faafo_lab.check.chapter_6 import exercise_6_1, exercise_6_2, exercise_6_3, exercise_6_4
from faafo_lab.check.chapter_7 import exercise_7_1, exercise_7_2, exercise_7_3, exercise_7_4
from faafo_lab.check.course import Progress, progress
from faafo_lab.check.prediction import Prediction, prediction
from faafo_lab.check.readiness import Finding, Setup, setup
from faafo_lab.check.verdict import Hint, Verdict

__all__ = [
    "Finding",
    "Hint",
    "Prediction",
    "Progress",
    "Setup",
    "Verdict",
    "exercise_0_1",
    "exercise_0_2",
    "exercise_0_3",
    "exercise_1_1",
    "exercise_1_2",
    "exercise_1_3",
    "exercise_1_4",
    "exercise_2_1",
    "exercise_2_2",
    "exercise_2_3",
    "exercise_2_4",
    "exercise_3_1",
    "exercise_3_2",
    "exercise_3_3",
    "exercise_3_4",
    "exercise_3_5",
    "exercise_4_1",
    "exercise_4_2",
    "exercise_4_3",
    "exercise_4_4",
    "exercise_4_5",
    "exercise_5_1",
    "exercise_5_2",
    "exercise_5_3",
    "exercise_5_4",
    "exercise_6_1",
    "exercise_6_2",
    "exercise_6_3",
    "exercise_6_4",
    "exercise_7_1",
    "exercise_7_2",
    "exercise_7_3",
    "exercise_7_4",
    "prediction",
    "progress",
    "setup",
]


def __dir__() -> list[str]:
    """What Tab offers: what a learner calls."""
    return [name for name in __all__ if name.islower()]
