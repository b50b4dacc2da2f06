"""Keys of callers as Secrets: in force when they are applied, changed and deleted, without a restart of the gateway."""

import httpx2
import pytest
import yaml

from easel_local.keys import Asked, made
from support.builders import manifest
from support.easel_release import Release
from support.kubectl import SECONDS, Namespace, eventually
from support.pictures import png


def _status(gateway: str, model_id: str, token: str) -> int:
    answer = httpx2.post(
        f"{gateway}/image-to-image",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        data={"model_id": model_id, "prompt": "x", "max_price": "0"},
        files={"image": png()},
        timeout=SECONDS,
    )
    return answer.status_code


@pytest.fixture
def model_id(namespace: Namespace) -> str:
    """A model that nobody starts: what may be asked for it is refused for its price."""
    namespace.apply(manifest("locked", modelId=f"{namespace}/locked"))
    namespace.wait_ready("locked")
    return f"{namespace}/locked"


def test_a_key_lets_in_while_its_secret_is_there(easel: Release, gateway: str, model_id: str) -> None:
    eventually(lambda: _status(gateway, model_id, ""), lambda status: status == 402)
    asked = Asked("ada", str(easel.system), (model_id,), None, None, None, "", admin=False, keep=())
    token, secret = made(asked)
    easel.system.apply(yaml.safe_load(secret))
    try:
        eventually(lambda: _status(gateway, model_id, "wrong"), lambda status: status == 401)
        assert _status(gateway, model_id, token) == 402, "let in, and told the price"

        other = yaml.safe_load(secret)
        other["stringData"]["policy"] = '{"models": ["another/*"]}'
        easel.system.apply(other)
        eventually(lambda: _status(gateway, model_id, token), lambda status: status == 403)
    finally:
        easel.system("delete", "secret", "ada")
    eventually(lambda: _status(gateway, model_id, "any"), lambda status: status == 402)
