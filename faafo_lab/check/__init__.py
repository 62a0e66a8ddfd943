"""Checks: whether all is ready (`setup`), and whether an exercise is solved (`exercise_C_N`), on your own cloud.

    check.setup()            # a list of what the workbook needs, each with how it is
    check.exercise_2_1()     # "passed", or one hint on what is still missing

A check looks at the cloud, and where it can it measures: it changes nothing. Each takes the cloud it is to look at;
without one it connects as `faafo_lab.connect()` does.

Its rooms:

    readiness   setup
    prediction  what the learner expected, beside what was measured
    chapter_0   the exercises of chapter 00; chapter_1 and so on: each is named below, too
    verdict     what a check says, and what makes a function a check
    questions   what several exercises ask of a cloud
"""

from faafo_lab.check.chapter_0 import exercise_0_1, exercise_0_2, exercise_0_3
from faafo_lab.check.chapter_1 import exercise_1_1, exercise_1_2, exercise_1_3, exercise_1_4
from faafo_lab.check.chapter_2 import exercise_2_1, exercise_2_2, exercise_2_3
from faafo_lab.check.chapter_3 import exercise_3_1, exercise_3_2, exercise_3_3
from faafo_lab.check.prediction import Prediction, prediction
from faafo_lab.check.readiness import Finding, Setup, setup
from faafo_lab.check.verdict import Verdict

__all__ = [
    "Finding",
    "Prediction",
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
    "exercise_3_1",
    "exercise_3_2",
    "exercise_3_3",
    "prediction",
    "setup",
]
