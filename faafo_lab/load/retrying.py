"""Whether a request that failed is sent again, and after how long.

    def retry(tries, answer):                       # your own, called after each try that failed
        return 0.1 if tries < 3 else None           # seconds until the next try; None: give up

    load.run(app.endpoints, number=100, retry=retry)
    load.run(app.endpoints, number=100, retry=load.Retries(attempts=3, budget=0.1))

A retry helps where the failure is of one server or of a moment. Where servers fail because they have too much to do,
retries add to it: three tries a request triple the load. Backoff and jitter spread them; only a **budget** bounds their
number.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tenacity import RetryCallState, Retrying, wait_random_exponential

from faafo_lab.load.errors import LoadError
from faafo_lab.load.rows import Try

TRIES_MAX = 10  # of one request, whatever `retry` says
SAVED_MOST = 10.0  # retries that a budget saves up
TEMPORARY = (408, 429)  # "request timeout", "too many requests": statuses below 500 that may pass


@dataclass(frozen=True)
class Failure(Try):
    """How the last try failed (`status` is None where no answer came, `error` then says why; `seconds` is what it
    took), and how far the run is: its `requests`, each counted once, and its `retries`, both so far."""

    requests: int = 0
    retries: int = 0

    @property
    def temporary(self) -> bool:
        """Whether another try may succeed: no answer, 408, 429 or 5xx. Of other statuses the request is the cause."""
        return self.status is None or self.status >= 500 or self.status in TEMPORARY


Retry = Callable[[int, Failure], float | None]


@dataclass(frozen=True)
class Retries:
    """Up to `attempts` tries a request, after temporary failures, as far as the `budget` goes.

    The wait before a retry is random between 0 and a bound that is `first_seconds` at first and doubles up to
    `most_seconds`: exponential backoff with full jitter, by tenacity's `wait_random_exponential`. `first_seconds=0`
    retries at once.

    `budget`: retries are at most this share of the run's requests (None: no bound). It is a token bucket for the whole
    run: a request adds `budget` tokens, a retry takes one, and where there is none the request fails. It starts empty
    and keeps SAVED_MOST tokens at most, so that a long calm doesn't pay for a storm. The idea is that of Finagle's
    RetryBudget (`percentCanRetry`; tokens expire after 10 s), of gRPC's retry throttling (gRFC A6: `tokenRatio`,
    `maxTokens`) and of Envoy's `retry_budget` (`budget_percent`, of the active requests).

    Raises LoadError for values out of range.
    """

    attempts: int = 3
    budget: float | None = 0.1
    first_seconds: float = 0.1
    most_seconds: float = 2.0

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or self.attempts not in range(1, TRIES_MAX + 1):
            raise LoadError(f"attempts is {self.attempts!r}: give 1 to {TRIES_MAX} tries for each request.")
        if self.budget is not None and not 0 <= self.budget < math.inf:
            raise LoadError(f"budget is {self.budget!r}: give a share of the requests, such as 0.1, or None.")
        if not 0 <= self.first_seconds <= self.most_seconds < math.inf:
            raise LoadError(
                f"first_seconds is {self.first_seconds!r} and most_seconds {self.most_seconds!r}: give two numbers of "
                "seconds from 0, the second one not smaller."
            )

    def for_run(self) -> Retry:
        """The decisions for one run, with a budget of its own."""
        wait = wait_random_exponential(multiplier=self.first_seconds, max=self.most_seconds)
        taken = 0.0  # tokens that were used or, beyond SAVED_MOST, lost

        def decide(tries: int, answer: Failure) -> float | None:
            nonlocal taken
            if tries >= self.attempts or not answer.temporary:
                return None
            if self.budget is not None:
                earned = self.budget * answer.requests
                taken = max(taken, earned - SAVED_MOST)
                if earned - taken < 1:
                    return None
                taken += 1
            state = RetryCallState(Retrying(), None, (), {})
            state.attempt_number = tries
            return wait(state)

        return decide


def check_retry(retry: Retry | Retries | None) -> None:
    """Raise LoadError for what does not decide on retries."""
    if retry is not None and not isinstance(retry, Retries) and (isinstance(retry, type) or not callable(retry)):
        raise LoadError(f"retry is {retry!r}: give load.Retries(), or a function of (tries, answer).")


def patience(retry: Retry | Retries | None, timeout_seconds: float) -> float:
    """How long one request may take with all its tries, each with this limit, in seconds."""
    if retry is None:
        return timeout_seconds
    if isinstance(retry, Retries):
        return retry.attempts * timeout_seconds + (retry.attempts - 1) * retry.most_seconds
    return TRIES_MAX * timeout_seconds


def checked_pause(pause: object) -> float | None:
    """What a `retry` of the learner's returned, if it is seconds or None. Raises LoadError."""
    if pause is None or (isinstance(pause, int | float) and not isinstance(pause, bool) and 0 <= pause < math.inf):
        return pause
    raise LoadError(f"retry returned {pause!r}: return the seconds until the next try, or None to give up.")
