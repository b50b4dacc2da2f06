"""What the terminal shows of a model in each of its states."""

import asyncio
import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from easel_crds.demand import Demand
from easel_crds.imagemodel import ImageModel
from easel_gateway.directory import Entry
from easel_local.manifests import Manifests, Source
from easel_local.supervisor import Row, Supervisor
from easel_local.view import show, state_line, table
from support.builders import image_model
from support.directory import entry
from support.runtimes import until


def row(model: Entry, **facts: Any) -> Row:
    least = Row(entry=model, demand=Demand(), served=0, replicas=0, ready=0, since=None)
    return replace(least, **facts)


READY = row(entry("http://a", "http://b"), demand=Demand(3, 4), served=25, replicas=3, ready=2)
STARTING = row(entry(starting=True), demand=Demand(0, 1), replicas=1, since=100.0)
COLD = row(entry())
FAILED = row(entry(failure="there is no GPU with 20 GB"))
PAUSED = row(entry(paused=True))


def shown(what: RenderableType) -> str:
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(what)
    return console.export_text()


def line_of(one: Row, now: float = 0.0) -> str:
    """The second line of the table: the first has the headings."""
    _, line = shown(table([one], now)).splitlines()
    return line


@pytest.mark.parametrize(
    ("one", "cells"),
    [
        pytest.param(READY, ["easel/demo", "ready", "2/3", "3 in work, 4 waiting, 25 done"], id="ready"),
        pytest.param(STARTING, ["starting", "0/1", "0 in work, 1 waiting", "loading for 42 s"], id="starting"),
        pytest.param(COLD, ["cold", "0/0", "0 in work, 0 waiting, 0 done"], id="cold"),
        pytest.param(FAILED, ["failed", "0/0", "there is no GPU with 20 GB"], id="failed"),
        pytest.param(PAUSED, ["paused", "0/0"], id="paused"),
    ],
)
def test_a_line_of_the_table_says_all_there_is_to_know(one: Row, cells: list[str]) -> None:
    line = line_of(one, now=142.4)
    places = [line.find(cell) for cell in ["easel/demo", *cells]]
    assert -1 not in places
    assert places == sorted(places)
    assert "1.9073484e-08 USD per pixel" in line


def test_the_table_has_headings_and_a_line_per_model_in_the_given_order() -> None:
    other = row(entry(name="other", price={"amount": "0.02", "currency": "EUR", "perPixels": 1048576}))
    headings, first, second = shown(table([READY, other], 0.0)).splitlines()
    assert headings.split() == ["MODEL", "STATE", "READY", "REQUESTS", "PRICE"]
    assert "easel/demo" in first
    assert "easel/other" in second
    assert "0.02 EUR per 1048576 pixels" in second


def test_a_table_without_models_has_its_headings() -> None:
    assert "MODEL" in shown(table([], 0.0))


def test_the_state_has_its_colour() -> None:
    console = Console(record=True, width=160, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(table([READY, FAILED], 0.0))
    text = console.export_text(styles=True)
    assert "\x1b[32mready" in text
    assert "\x1b[31mfailed" in text


REASONS = [
    pytest.param("1 validation error [type=missing, input_value={}]", id="of pydantic"),
    pytest.param("cannot read [/var/lib/easel]", id="looks like a closing tag"),
    pytest.param("[red]not red[/red] :warning: [link=http://x]x", id="looks like markup"),
]


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_shown_as_it_is(reason: str) -> None:
    assert reason in line_of(row(entry(failure=reason)))


@pytest.mark.parametrize(
    ("one", "line"),
    [
        pytest.param(READY, "ready (2 of 3)", id="ready"),
        pytest.param(STARTING, "starting", id="starting"),
        pytest.param(COLD, "cold, starts at the first request", id="cold"),
        pytest.param(FAILED, "failed: there is no GPU with 20 GB", id="failed"),
        pytest.param(PAUSED, "paused", id="paused"),
    ],
)
def test_a_state_in_plain_words(one: Row, line: str) -> None:
    assert state_line(one) == line


def declared(*models: ImageModel) -> Manifests:
    return Manifests({("ImageModel", model.name): Source(Path("models.yaml"), model) for model in models})


async def test_without_a_terminal_there_is_a_line_per_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "easel_local.view")
    supervisor = Supervisor(tmp_path)
    supervisor.declare(declared(image_model(), image_model("other", profile="gpu")))
    showing = asyncio.create_task(show(supervisor, Console(file=io.StringIO(), width=40)))
    await until(lambda: len(caplog.messages) == 2)
    supervisor.declare(declared(image_model(), image_model("other", profile="gpu", paused=True)))
    supervisor.declare(declared(image_model(paused=True), image_model("other", profile="gpu", paused=True)))
    await until(lambda: len(caplog.messages) == 4)
    showing.cancel()
    await asyncio.wait({showing})
    assert showing.cancelled()
    assert caplog.messages == [
        "easel/demo: cold, starts at the first request",
        "easel/other: failed: there is no RuntimeProfile gpu",
        "easel/demo: paused",
        "easel/other: paused",
    ]
