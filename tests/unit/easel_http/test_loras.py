"""Which LoRAs a request may name, decided without the Hub."""

import pytest

from easel_crds.loras import Loras
from easel_http.errors import BadRequest
from easel_http.loras import check_loras

ANY = Loras()
OF_THE_HUB = [
    "nerijs/pixel-art-xl",
    "gpt2",
    "a/b.c_d-1.5",
    "ByteDance/SDXL-Lightning",
    "_a/b_",
    f"{'o' * 96}/{'n' * 96}",
]
OF_NO_HUB = [
    "",
    "/etc/passwd",
    "./lora",
    "../lora",
    "a/../b",
    "a/..",
    "a..b/c",
    "a/b/c",
    "a/b/",
    "/a",
    "~/lora",
    "a\\b",
    "a b/c",
    "a/b\n",
    "a--b/c",
    "-a/b",
    "a/b.",
    "a/b.git",
    "ä/b",
    "https://huggingface.co/a/b",
    "a/b:main",
    "a/b@main",
    "a/b?x",
    "hf://a/b",
    f"a/{'n' * 97}",
    "\ud800/b",
]


@pytest.mark.parametrize("repo_id", OF_THE_HUB)
def test_ids_of_the_hub_are_taken(repo_id: str) -> None:
    check_loras({repo_id: 1.0}, ANY)


@pytest.mark.parametrize("repo_id", OF_NO_HUB, ids=ascii)
def test_anything_else_is_refused(repo_id: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_loras({"nerijs/pixel-art-xl": 1.0, repo_id: 1.0}, ANY)
    shown = repo_id if len(repo_id) < 100 else repo_id[:100] + "..."
    assert caught.value.msg == (
        f"LoRA {shown}: not a repository of the Hub; send an id such as nerijs/pixel-art-xl, no path or URL"
    )


@pytest.mark.parametrize("repo_id", OF_THE_HUB)
def test_what_is_taken_is_an_id_to_the_hubs_client_too(repo_id: str) -> None:
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    validate_repo_id(repo_id)


@pytest.mark.parametrize("weight", [-10, -0.5, 0, 1, 10])
def test_weights_up_to_10_either_way_are_taken(weight: float) -> None:
    check_loras({"a/b": weight}, ANY)


@pytest.mark.parametrize("weight", [-10.5, 11, 1e300, float("inf"), float("nan")])
def test_weights_beyond_that_are_refused(weight: float) -> None:
    with pytest.raises(
        BadRequest, match=f"LoRA a/b: its weight must be from -10 to 10, not {weight:g}".replace("+", r"\+")
    ):
        check_loras({"a/b": weight}, ANY)


def test_as_many_as_the_model_takes_at_once_are_taken_and_more_refused() -> None:
    loras = {f"a/{number}": 1.0 for number in range(5)}
    check_loras(loras, Loras(max_per_request=5))
    with pytest.raises(BadRequest, match="this model takes at most 4 LoRAs at once, not 5"):
        check_loras(loras, ANY)


@pytest.mark.parametrize("policy", [Loras(allow=()), Loras(max_per_request=0)])
def test_a_model_can_take_none(policy: Loras) -> None:
    check_loras({}, policy)
    with pytest.raises(BadRequest, match="this model does not take LoRAs; leave `loras` out"):
        check_loras({"a/b": 1.0}, policy)


@pytest.mark.parametrize(
    ("repo_id", "allowed"),
    [
        ("nerijs/pixel-art-xl", True),
        ("latent-consistency/lcm-lora-sdxl", True),
        ("one/style-v1.5", True),
        ("Nerijs/pixel-art-xl", False),
        ("nerijs2/x", False),
        ("latent-consistency/lcm-lora-sdv1-5", False),
        ("one/style-v2", False),
        ("pixel-art-xl", False),
    ],
)
def test_patterns_match_whole_ids_by_case(repo_id: str, *, allowed: bool) -> None:
    policy = Loras(allow=("nerijs/*", "latent-consistency/lcm-lora-sdxl", "one/style-v1.?"))
    if allowed:
        check_loras({repo_id: 1.0}, policy)
        return
    with pytest.raises(BadRequest) as caught:
        check_loras({repo_id: 1.0}, policy)
    assert caught.value.msg == (
        f"LoRA {repo_id}: not allowed with this model;"
        " allowed: nerijs/*, latent-consistency/lcm-lora-sdxl, one/style-v1.?"
    )


def test_a_long_list_is_told_in_part() -> None:
    policy = Loras(allow=tuple(f"a/{number}" for number in range(100)))
    with pytest.raises(BadRequest, match=r"a/8, a/9, \.\.\.$"):
        check_loras({"b/b": 1.0}, policy)
