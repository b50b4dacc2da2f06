"""At rest nobody writes."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from support.builders import manifest
from support.easel_release import Release
from support.kubectl import Namespace, eventually
from testbed.cluster import Cluster

_REST = timedelta(minutes=1)


def test_with_nothing_to_do_operator_and_gateway_write_nothing_for_a_minute(
    easel: Release, namespace: Namespace, testbed: Cluster, simulated_gpus: str
) -> None:
    namespace.apply(
        manifest("warm", modelId=f"{namespace}/warm", warmReplicas=2, maxReplicas=2, gpu={"memory": simulated_gpus}),
        manifest("cold", modelId=f"{namespace}/cold"),
        manifest("waits", modelId=f"{namespace}/waits", warmReplicas=1, gpu={"memory": "2T"}),
    )
    namespace("wait", "--for=jsonpath={.status.readyReplicas}=2", "im/warm", "--timeout=60s")
    namespace.wait_ready("cold")
    namespace("wait", "--for=jsonpath={.status.conditions[?(@.type=='Ready')].reason}=NoFittingNode", "im/waits")
    ours = f"system:serviceaccount:{easel.system}:easel-"

    def last_writes() -> list[tuple[datetime, str]]:
        found = []
        for line in testbed.state.audit_log.read_text().splitlines():
            event = json.loads(line)
            if event["user"]["username"].startswith(ours):
                when = datetime.fromisoformat(event["requestReceivedTimestamp"])
                found.append((when, f"{event['verb']} {event['requestURI'].partition('?')[0]}"))
        return found

    assert last_writes(), "the audit log must know who writes, or this test could not fail"

    def quiet() -> Counter[str]:
        """What was written since a minute ago; only asked once a minute has passed since the last change here."""
        since = datetime.now(UTC) - _REST
        return Counter(what for when, what in last_writes() if when > since)

    written = eventually(quiet, lambda counts: not counts, seconds=3 * _REST.total_seconds())
    assert not written
