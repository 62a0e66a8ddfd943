"""What schemathesis has to know beside the description: a hook that it loads (`SCHEMATHESIS_HOOKS`)."""

from typing import Any

import schemathesis
from schemathesis import GenerationMode

from faafo_lab.app.validation import COORDINATE_MAX


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """JSON Schema cannot say that `xa` is less than `xb`: let it be so in the requests that are to be accepted."""
    positive = case.meta and case.meta.generation.mode is GenerationMode.POSITIVE
    if positive and (case.method, case.path) == ("POST", "/v1/fractal"):
        for low, high in (("xa", "xb"), ("ya", "yb")):
            edges = sorted([case.body[low], case.body[high]])
            case.body[low], case.body[high] = edges if edges[0] < edges[1] else (-COORDINATE_MAX, COORDINATE_MAX)
