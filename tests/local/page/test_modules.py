"""Modules of the page alone, in the browser that runs them."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from support.browser import visit
from support.easel_up import EaselUp

STREAM = (
    'event: accepted\ndata: {"state": "ready"}\n\n'
    ": nothing new\n\n"
    'event: step\r\ndata: {"step": 1,\r\ndata: "steps": 2}\r\n\r\n'
    'event: result\ndata: {"words": "é 猫"}\n\n'
)
EVENTS = [
    {"event": "accepted", "data": {"state": "ready"}},
    {"event": "step", "data": {"step": 1, "steps": 2}},
    {"event": "result", "data": {"words": "é 猫"}},
]


@pytest.fixture(scope="module")
def page(served: EaselUp, chromium: Browser) -> Iterator[Page]:
    with visit(chromium, served.url) as seen:
        yield seen.page


def call(page: Page, module: str, body: str, *given: Any) -> Any:
    """What `body`, which has the module as `it`, makes of `given`."""
    script = f"async (given) => {{ const it = await import('/page/lib/{module}.js'); {body} }}"
    return page.evaluate(script, list(given))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_however_they_are_cut(page: Page, size: int) -> None:
    body = """
      const bytes = new TextEncoder().encode(given[0]);
      const body = new ReadableStream({
        start(controller) {
          for (let at = 0; at < bytes.length; at += given[1]) controller.enqueue(bytes.slice(at, at + given[1]));
          controller.close();
        },
      });
      const found = [];
      for await (const event of it.events(body)) found.push(event);
      return found;
    """
    assert call(page, "events", body, STREAM, size) == EVENTS


def test_the_same_order_has_the_key_under_which_its_answer_was_lost(page: Page) -> None:
    body = """
      const picture = new Blob();
      const order = { picture, size: null, fields: [["prompt", "a"]] };
      const lost = { order, key: "lost" };
      const others = [
        { ...order, picture: new Blob() }, { ...order, size: { width: 8 } }, { ...order, fields: [["prompt", "b"]] }
      ];
      return [it.keyFor({ ...order }, lost), ...others.map((other) => it.keyFor(other, lost)), it.keyFor(order, null)];
    """
    same, *others = call(page, "once", body)
    assert same == "lost"
    assert len({same, *others}) == 5
    assert all(len(key) == 32 for key in others)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "0 USD"),
        ("0.00", "0 USD"),
        ("0.02", "0.02 USD"),
        ("0.019999997558784", "0.02 USD"),
        ("0.003749999542272", "0.00375 USD"),
        ("0.0012345", "0.00123 USD"),
        ("1e-9", "0.000000001 USD"),
        ("0.9999", "1.00 USD"),
        ("12.3456", "12.35 USD"),
        ("12345678901234567890.126", "12345678901234567890.13 USD"),
    ],
)
def test_money_is_rounded_without_floats(page: Page, amount: str, said: str) -> None:
    assert call(page, "money", "return it.plainMoney(given[0], 'USD')", amount) == said


def test_sums_of_money_are_exact(page: Page) -> None:
    amounts = [
        {"amount": "0.1", "currency": "USD"},
        {"amount": "0.20000000000000000001", "currency": "USD"},
        {"amount": "3", "currency": "EUR"},
    ]
    assert call(page, "money", "return it.added(given[0])", amounts) == [
        {"amount": "0.30000000000000000001", "currency": "USD"},
        {"amount": "3", "currency": "EUR"},
    ]


def model(**parameters: list[float | None]) -> dict[str, Any]:
    names = ("num_inference_steps", "guidance_scale", "image_guidance_scale", "strength")
    wide: dict[str, list[float | None]] = {"num_inference_steps": [None, 1, 100], "strength": [None, 0, 1]}
    bounds = {name: parameters.get(name, wide.get(name, [None, 0, 100])) for name in names}
    return {
        "parameters": {
            name: dict(zip(("default", "minimum", "maximum"), value, strict=True)) for name, value in bounds.items()
        }
    }


CONTROLS = {
    # the model, what its manifest says: the controls with least, most and preset
    "no strength": (
        "easel/demo",
        {"num_inference_steps": [10, 1, 20]},
        {"num_inference_steps": [1, 20, 10], "guidance_scale": [0, 2, 1], "image_guidance_scale": [1, 4, 1.3]},
    ),
    "no guidance": ("stabilityai/sdxl-turbo", {}, {"strength": [0, 1, 0.5], "num_inference_steps": [1, 4, 2]}),
    "one number of steps": ("ByteDance/SDXL-Lightning-4step", {}, {"strength": [0, 1, 0.5]}),
    "bounds that leave one value": (
        "stabilityai/sd-turbo",
        {"num_inference_steps": [None, 4, 100], "strength": [0.9, 0.3, 0.7]},
        {"strength": [0.3, 0.7, 0.7]},
    ),
    "any other model": (
        "some/model",
        {},
        {"strength": [0, 1, None], "num_inference_steps": [1, 100, None], "guidance_scale": [0, 100, None]},
    ),
}


@pytest.mark.parametrize("case", CONTROLS.values(), ids=CONTROLS)
def test_a_model_has_the_controls_that_it_uses(page: Page, case: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    model_id, declared, wanted = case
    found = call(page, "controls", "return it.numbers(given[0])", {"id": model_id, **model(**declared)})
    assert {each["name"]: [each["least"], each["most"], each["preset"]] for each in found} == wanted


def test_the_history_is_bounded_in_number_and_bytes(page: Page) -> None:
    body = """
      const edits = given[0].map((size, id) => ({ id, before: { size: 0 }, images: [{ blob: { size } }] }));
      return it.beyond(edits, given[1], given[2]).map(({ id }) => id);
    """
    assert call(page, "history", body, [10, 10, 10, 10], 3, 1000) == [3]
    assert call(page, "history", body, [10, 10, 10, 10], 9, 25) == [2, 3]
    assert call(page, "history", body, [100], 9, 25) == [], "the newest is always kept"


def test_progress_never_goes_back(page: Page) -> None:
    body = "return given[0].reduce((state, data) => it.after(state, 'step', data, 0), { done: null }).done"
    steps = [{"image": 2, "images": 2, "step": 1, "steps": 4}, {"image": 1, "images": 2, "step": 4, "steps": 4}]
    assert call(page, "work", body, steps) == 5 / 8


def test_a_start_is_as_long_as_it_was_said_to_be(page: Page) -> None:
    body = """
      const first = it.after({ phase: "waking" }, "starting", { seconds: 20, reason: "" }, 1000);
      const later = it.after(first, "starting", { seconds: 5, reason: "" }, 11000);
      return [first.started, first.total, later.started, later.total];
    """
    assert call(page, "work", body) == [1000, 20, 1000, 15]


def test_sizes_are_offered_that_the_model_takes(page: Page) -> None:
    body = "const all = it.sizes(given[0], given[1]); return [all.map(({ side }) => side), it.proposed(all)?.side]"
    large = {"width": 4000, "height": 3000}
    assert call(page, "pictures", body, large, 4_194_304) == [[2048, 1536, 1024, 768, 512, 256, 128, 64], 1024]
    assert call(page, "pictures", body, {"width": 512, "height": 384}, 4_194_304) == [[0, 256, 128, 64], 0]
    assert call(page, "pictures", body, {"width": 100, "height": 100}, 4096) == [[64], 64]
