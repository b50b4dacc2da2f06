"""The Accept header."""

import pytest

from easel_http.accept import preferred
from easel_runtime.answers import form_of

PROGRESS = "multipart/vnd.easel.progress"
OFFERS = ["application/json", "multipart/mixed", "text/event-stream", PROGRESS, "image/png", "image/webp", "image/jpeg"]


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html", "application/json"),
        ("multipart/mixed", "multipart/mixed"),
        ("multipart/mixed, application/json;q=0.5", "multipart/mixed"),
        ("application/json, multipart/mixed", "application/json"),
        ("application/json;q=0.1, multipart/mixed;q=0.2", "multipart/mixed"),
        ("text/event-stream", "text/event-stream"),
        (f"{PROGRESS}, image/png;q=0.9, multipart/mixed;q=0.8", PROGRESS),
        ("multipart/*", "multipart/mixed"),
        ("Image/PNG", "image/png"),
        ("image/*", "image/png"),
        ("image/*;q=0.5, image/webp", "image/webp"),
        ("image/png;q=0, image/*", "image/webp"),
        ("image/jpeg ; q=0.9 , */*;q=0.1", "image/jpeg"),
        ("image/jpeg;q=nonsense, */*;q=0.1", "application/json"),
        ("image/jpeg;q=nan", "application/json"),
        ("image/jpeg;q=7", "application/json"),
        (",;,", "application/json"),
        # Browsers, which ask for a page.
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", "image/webp"),
    ],
)
def test_the_form_that_the_caller_likes_best(accept: str, chosen: str) -> None:
    assert preferred(accept, OFFERS) == chosen
    assert form_of(accept, 1, (64, 48)) == chosen


def test_only_a_single_image_can_be_a_bare_file() -> None:
    assert form_of("image/png", 2, (64, 48)) == "application/json"


@pytest.mark.parametrize(
    ("accept", "size", "chosen"),
    [
        ("image/webp", (16383, 1), "image/webp"),
        ("image/webp", (1, 16384), "application/json"),
        ("image/jpeg", (65501, 1), "application/json"),
        ("image/*;q=0.5, image/webp", (16384, 1), "image/png"),
    ],
)
def test_a_format_is_not_offered_for_a_picture_that_it_cannot_hold(
    accept: str, size: tuple[int, int], chosen: str
) -> None:
    assert form_of(accept, 1, size) == chosen
