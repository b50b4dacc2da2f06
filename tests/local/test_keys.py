"""Keys on one machine: Secrets beside the models, in force without a restart."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

from easel_local.keys import Asked, made
from support.easel_up import SECONDS, EaselUp, easel_up, write_model
from support.key_checks import KEY_CHECKS, PAUSED, KeyCheck, Keys
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


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Iterator[tuple[EaselUp, dict[str, Keys]]]:
    """`easel up` with keys, some for each check."""
    models = tmp_path_factory.mktemp("guarded") / "models"
    write_model(models)
    write_model(models, "paused", modelId=PAUSED, paused=True)
    found: dict[str, Keys] = {}
    for number, check in enumerate(KEY_CHECKS):
        poor, secret = made(
            Asked(f"poor-{number}", "", (), 1, None, None, "0.000001 USD per day", admin=False, keep=())
        )
        rich, another = made(Asked(f"rich-{number}", "", (), None, None, None, "", admin=False, keep=()))
        (models / f"keys-{number}.yaml").write_text(f"{secret}---\n{another}")
        unknown, _ = made(Asked("unknown", "", (), None, None, None, "", admin=False, keep=()))
        found[check.__name__] = Keys(unknown, poor, rich)
    with easel_up(models, cache, "--require-keys") as run:
        yield run, found


@pytest.mark.parametrize("check", KEY_CHECKS, ids=lambda check: check.__name__)
def test_clients_hear_of_keys_in_words_of_their_own(guarded: tuple[EaselUp, dict[str, Keys]], check: KeyCheck) -> None:
    run, keys = guarded
    check(run.url, keys[check.__name__])
    assert not run.runtimes(), "nobody was let in"
