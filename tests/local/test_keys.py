"""Keys on one machine: Secrets beside the models, in force without a restart."""

from pathlib import Path

import httpx2
import yaml

from easel_local.keys import Asked, made
from support.easel_up import SECONDS, easel_up, write_model
from support.pictures import png


def _status(url: str, token: str) -> int:
    """Of a request that wakes nothing: it is refused for its price."""
    answer = httpx2.post(
        f"{url}/image-to-image",
        headers={"Authorization": f"Bearer {token}"} if token else {},
        data={"model_id": "easel/demo", "prompt": "x", "max_price": "0"},
        files={"image": png()},
        timeout=SECONDS,
    )
    return answer.status_code


def test_keys_are_required_and_changed_while_it_runs(tmp_path: Path, cache: Path) -> None:
    models = tmp_path / "models"
    write_model(models)
    token, secret = made(Asked("ada", "", (), None, None, None, "", admin=False, keep=()))
    (models / "ada.yaml").write_text(secret)
    with easel_up(models, cache, "--require-keys") as run:
        assert [_status(run.url, given) for given in ("", "wrong", token)] == [401, 401, 402]

        changed = len(run.lines)
        document = yaml.safe_load(secret)
        document["stringData"]["policy"] = '{"models": ["another/*"]}'
        (models / "ada.yaml").write_text(yaml.safe_dump(document))
        run.wait_for("the files have changed", after=changed)
        assert _status(run.url, token) == 403

        changed = len(run.lines)
        document["stringData"]["hash"] = "nonsense"
        (models / "ada.yaml").write_text(yaml.safe_dump(document))
        run.wait_for(r"ada.yaml:\d+: data.hash: must be", after=changed)
        run.wait_for("the files have changed", after=changed)
        assert _status(run.url, token) == 401, "what makes no sense lets nobody in"
        assert httpx2.get(f"{run.url}/usage").status_code == 401
