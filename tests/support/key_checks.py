"""Real client packages at a gateway that requires keys: what they raise for who has none, no money, or no patience."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from livepeer_ai import Livepeer
from livepeer_ai.models import components, errors

from support.client_checks import IMAGE, MODEL, SECONDS

PAUSED: Final = "easel/paused"
"""A model for which waiting is of no use."""


@dataclass(frozen=True)
class Keys:
    """Of which none costs work."""

    unknown: str
    poor: str
    """Its budget is below the price of a picture, and it has one request a minute."""
    rich: str
    """It has no limits."""


KeyCheck = Callable[[str, Keys], None]
"""Of a URL and keys that nobody else uses."""


def livepeer_hears_of_keys(url: str, keys: Keys) -> None:
    def edit(key: str) -> None:
        picture = components.Image(fileName="cat.png", content=IMAGE)  # type: ignore[call-arg]  # its alias is blank
        with Livepeer(server_url=url, http_bearer=key, timeout_ms=SECONDS * 1000) as client:
            request = components.BodyGenImageToImage(prompt="x", image=picture, model_id=MODEL)
            client.generate.image_to_image(request=request)

    with pytest.raises(errors.HTTPError) as unknown:
        edit(keys.unknown)
    assert "key" in unknown.value.data.detail.msg
    with pytest.raises(errors.SDKError, match="has a budget of") as poor:
        edit(keys.poor)
    assert poor.value.status_code == 402
    with pytest.raises(errors.SDKError, match="1 requests a minute") as fast:
        edit(keys.poor)
    assert fast.value.status_code == 429
    assert fast.value.raw_response is not None
    assert int(fast.value.raw_response.headers["retry-after"]) > 0


def openai_hears_of_keys(url: str, keys: Keys) -> None:
    def edit(key: str) -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=SECONDS) as client:
            client.images.edit(model=MODEL, image=("cat.png", IMAGE), prompt="x")

    with pytest.raises(openai.AuthenticationError, match="key"):
        edit(keys.unknown)
    with pytest.raises(openai.APIStatusError, match="has a budget of") as poor:
        edit(keys.poor)
    assert (poor.value.status_code, poor.value.type) == (402, "insufficient_quota")
    with pytest.raises(openai.RateLimitError, match="1 requests a minute") as fast:
        edit(keys.poor)
    assert int(fast.value.response.headers["retry-after"]) > 0


def openai_does_not_try_again_in_vain(url: str, keys: Keys) -> None:
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key=keys.rich, timeout=SECONDS) as client,
        pytest.raises(openai.InternalServerError, match="paused") as hopeless,
    ):
        client.images.edit(model=PAUSED, image=("cat.png", IMAGE), prompt="x")
    assert hopeless.value.status_code == 503
    assert hopeless.value.request.headers["x-stainless-retry-count"] == "0"


def huggingface_hears_of_keys(url: str, keys: Keys) -> None:
    def edit(key: str) -> None:
        InferenceClient(model=f"{url}/models/{MODEL}", token=key, timeout=SECONDS).image_to_image(IMAGE, prompt="x")

    for key, status, words in (
        (keys.unknown, 401, "key"),
        (keys.poor, 402, "has a budget of"),
        (keys.poor, 429, "1 requests a minute"),
    ):
        with pytest.raises(HfHubHTTPError, match=words) as caught:
            edit(key)
        assert caught.value.response.status_code == status


KEY_CHECKS: Final[list[KeyCheck]] = [
    livepeer_hears_of_keys,
    openai_hears_of_keys,
    openai_does_not_try_again_in_vain,
    huggingface_hears_of_keys,
]
