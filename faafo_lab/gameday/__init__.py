"""Game day: incidents on purpose, alone (the campaign) and in waves (survival), and the post-mortem afterwards.

    incident = gameday.mission(1).start(app); incident.hint(); incident.check()
    result = gameday.survive(app, work, seed=7, waves=gameday.waves(7, 3), policy=autoscale.QueueAge())
    print(gameday.post_mortem(result)); plots.survival(result)

Its rooms:

    budget     the objective, burn rates, alerts: pure functions
    campaign   missions: one fault, one concept, hints, a clock
    survival   waves by a seed, and the score
    reporting  the post-mortem
"""

from faafo_lab.gameday.budget import ALERTS, HOUR_SECONDS, Alert, Objective, Order, alerts
from faafo_lab.gameday.campaign import MISSIONS, Incident, Mission, complaints, mission
from faafo_lab.gameday.reporting import post_mortem
from faafo_lab.gameday.survival import Survival, Wave, survive, waves

__all__ = [
    "ALERTS",
    "HOUR_SECONDS",
    "MISSIONS",
    "Alert",
    "Incident",
    "Mission",
    "Objective",
    "Order",
    "Survival",
    "Wave",
    "alerts",
    "complaints",
    "mission",
    "post_mortem",
    "survive",
    "waves",
]
