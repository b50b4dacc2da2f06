"""What is wrong with a runtime that does not answer, in the words of who knows: the kubelet, or the runtime itself."""

from collections.abc import Iterable
from typing import Final

from easel_crds.conditions import Reason
from easel_crds.imagemodel import LastFailure
from easel_operator.pods import Pod

_MESSAGE_LENGTH: Final = 4096


def failure_of(pod: Pod) -> tuple[Reason, str] | None:
    """Reason and message, if something is wrong with `pod`."""
    end = pod.last_end
    if pod.ready or (end is None and not pod.waiting):
        return None
    if end is None or not end.started or pod.waiting:
        return Reason.CANNOT_START, f"the kubelet says: {pod.waiting or _last_words(pod)}"
    if end.exit_code == 1 and end.message:  # how a runtime ends that could not load its model
        return Reason.LOAD_FAILED, end.message
    if pod.running and pod.restarts == 1:  # whatever ended it, it may well be over
        return None
    return Reason.CRASHED, _last_words(pod)


def last_failure(pods: Iterable[Pod]) -> LastFailure | None:
    """Of the newest pod that has failed; one that is being deleted ended because it was told to."""
    failed = [pod for pod in pods if not pod.leaving and (pod.last_end is not None or pod.waiting)]
    if not failed:
        return None
    pod = max(failed, key=lambda one: (one.created, one.name))
    message = pod.waiting or _last_words(pod)
    exit_code = pod.last_end.exit_code if pod.last_end is not None and pod.last_end.started else None
    return LastFailure(pod=pod.name, exit_code=exit_code, message=message[:_MESSAGE_LENGTH])


def _last_words(pod: Pod) -> str:
    end = pod.last_end
    if end is None:
        return ""
    how = f"the runtime ended ({end.reason}, exit code {end.exit_code})" if end.started else end.reason
    return f"{how}: {end.message}" if end.message else how
