"""A proof that others can repeat: does all of the lab work on this cloud? `faafo-lab prove` runs it.

    report = prove.run(cloud=None, backends=["shade"], servers=4, minutes=60)      # prints a line a step
    report.right                       # whether every step was right, and nothing is left
    report.write(Path("build"))        # prove.md and prove.json, which name no one and nothing of the cloud

It keeps apart from what is the learner's. The servers, groups and keys of the verbs have names of their own and none of
the lab's marks; the application is built only where there is none. What it made is removed at the end, however that
comes: an error, an interrupt, or the budget's end.

Its rooms:

    proof        run: one backend after the other, and what is removed at the end
    steps        Step and Outcome; run in order, but for those whose needs were not met
    verbs        the steps of each verb of `Cloud`
    application  the steps of the application: deploy, order, groups, scale, kill, destroy
    budget       how many servers, how many minutes; interrupts
    leavings     what was made and is still there
    versions     which versions all of this was seen with
    redaction    what a report must not tell
    report       the report: Markdown and JSON
"""

from faafo_lab.prove.budget import APPLICATION_SERVERS, Budget
from faafo_lab.prove.proof import PARTS, Refused, run
from faafo_lab.prove.redaction import Redactor
from faafo_lab.prove.report import Report

__all__ = ["APPLICATION_SERVERS", "PARTS", "Budget", "Redactor", "Refused", "Report", "run"]
