"""The line in the log, and the numbers, of each request that has been answered."""

import logging
from typing import Final

from easel_gateway.metrics import Metrics
from easel_gateway.outcomes import outcome_of
from easel_http.requests import Answered

_log = logging.getLogger(__name__)
ENDED: Final = "ended"
"""Noted of what was told in events: the status of its end, where that is not the answer's."""


class Access:
    """Tells of requests (`easel_http.requests.Requests`). Words, pictures, keys and query strings are in no line."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, answered: Answered) -> None:
        """One request; what is no POST asks for what there is, costs nothing, and is told of at debug level alone."""
        ended = answered.facts.get(ENDED)
        outcome = outcome_of(ended if isinstance(ended, int) else answered.status)
        is_work = answered.method == "POST"
        if is_work:
            model = str(answered.facts.get("model", ""))
            self._metrics.answered(model, outcome, answered.received, answered.sent)
        level = logging.INFO if is_work else logging.DEBUG
        if not _log.isEnabledFor(level):
            return
        line = {
            "method": answered.method,
            "path": answered.path,
            "status": answered.status,
            "outcome": outcome.value,
            "seconds": round(answered.seconds, 4),
            "received": answered.received,
            "sent": answered.sent,
            **answered.facts,
        }
        _log.log(level, "answered", extra=line)
