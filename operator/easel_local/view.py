"""What the terminal shows: a live table, or plain lines where there is no terminal."""

import asyncio
import logging
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from easel_gateway.directory import State
from easel_local.supervisor import Row, Supervisor

_log = logging.getLogger(__name__)
_REFRESH_SECONDS: Final = 0.25
_COLOURS: Final = {
    State.READY: "green",
    State.STARTING: "yellow",
    State.COLD: "blue",
    State.FAILED: "red",
    State.PAUSED: "magenta",
}


async def show(supervisor: Supervisor, console: Console) -> None:
    """Keep `console` true to `supervisor` until cancelled."""
    if console.is_terminal:
        await _show_table(supervisor, console)
    else:
        await _log_changes(supervisor)


async def _show_table(supervisor: Supervisor, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            picture = table(supervisor.rows(), asyncio.get_running_loop().time())
            # On a thread: a terminal that is paused (Ctrl-S) must not pause the gateway.
            await asyncio.to_thread(live.update, picture, refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def _log_changes(supervisor: Supervisor) -> None:
    changed = asyncio.Event()
    supervisor.on_change(changed.set)
    shown: dict[str, str] = {}
    while True:
        for row in supervisor.rows():
            line = f"{row.entry.model.spec.model_id}: {state_line(row)}"
            if shown.get(row.entry.model.name) != line:
                shown[row.entry.model.name] = line
                _log.info("%s", line)
        await changed.wait()
        changed.clear()


def table(rows: list[Row], now: float) -> Table:
    """One line per model; `now` in event loop time."""
    result = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for heading in ("MODEL", "STATE", "READY", "REQUESTS", "PRICE", ""):
        result.add_column(heading, no_wrap=heading != "")
    for row in rows:
        spec = row.entry.model.spec
        requests = f"{row.demand.in_flight} in work, {row.demand.waiting} waiting, {row.served} done"
        result.add_row(
            spec.model_id,
            Text(row.entry.state, style=_COLOURS[row.entry.state]),
            f"{row.ready}/{row.replicas}",
            requests,
            str(spec.price),
            Text(_progress(row, now)),
        )
    return result


def _progress(row: Row, now: float) -> str:
    if row.entry.failure:
        return row.entry.failure
    return "" if row.since is None else f"loading for {now - row.since:.0f} s"


def state_line(row: Row) -> str:
    """State of one model as plain words."""
    match row.entry.state:
        case State.READY:
            return f"ready ({row.ready} of {row.replicas})"
        case State.COLD:
            return "cold, starts at the first request"
        case State.FAILED:
            return f"failed: {row.entry.failure}"
        case state:
            return str(state)
