"""A proof that others can repeat: does everything in the lab work on this cloud? `faafo-lab prove` runs it.

    report = prove.run(cloud=None, backends=["shade"], servers=4, minutes=60)      # prints a line a step
    report.right                       # whether every step was right, and no resources remain
    report.write(Path("build"))        # prove.md and prove.json, which identify neither you nor the cloud

It leaves the learner's resources alone. The verbs' servers, groups and keys have names of their own and none of
the lab's marks; the application is deployed only if none exists. Every resource is removed at the end, also after an
error, an interrupt, or when the time is up.

Its rooms:

    proof        run: one backend after the other, and the clean-up at the end
    steps        Step and Outcome; steps run in order, those with unmet needs are skipped
    verbs        the steps of each verb of `Cloud`
    application  the application's steps: deploy, order, groups, scale, kill, destroy
    budget       the most servers and minutes; interrupts
    leavings     the created resources that still exist
    versions     the versions of the lab, its libraries and the cloud
    redaction    what a report must not reveal
    report       the report: Markdown and JSON
"""

from faafo_lab.prove.budget import APPLICATION_SERVERS, Budget
from faafo_lab.prove.proof import PARTS, Refused, run
from faafo_lab.prove.redaction import Redactor
from faafo_lab.prove.report import Report

__all__ = ["APPLICATION_SERVERS", "PARTS", "Budget", "Redactor", "Refused", "Report", "run"]
