import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from easel_local.cli import main

TWO_ROWS = (
    b'{"data": [{"model_id": "[red]a/a", "currency": "USD", "requests": 2, "images": 3, "pixels": 8192,'
    b' "amount": "0.000000008192", "seconds": 1.0, "gpu_seconds": 0.5},'
    b' {"model_id": "b/b", "currency": "EUR", "requests": 1, "images": 1, "pixels": 1,'
    b' "amount": "7", "seconds": 1.0, "gpu_seconds": 0.5}]}'
)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """A server that answers so to everything; its URL, and what was asked with which Authorization."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


def test_usage_is_shown_as_a_table() -> None:
    with answering(200, TWO_ROWS) as (url, asked):
        done = CliRunner().invoke(
            main,
            ["usage", "--url", url, "--by", "model", "--since", "2026-11-01", "--until", "2026-11-30"],
            env={"EASEL_KEY": "secret", "COLUMNS": "160"},
        )
    assert done.exit_code == 0, done.output
    assert "[red]a/a" in done.output
    assert "0.000000008192" in done.output
    ((path, authorization),) = asked
    assert authorization == "Bearer secret"
    assert urlsplit(path).path == "/usage"
    assert parse_qs(urlsplit(path).query) == {
        "by": ["model"],
        "from": ["2026-11-01"],
        "to": ["2026-11-30"],
        "format": ["json"],
    }


def test_csv_is_given_on_as_it_is() -> None:
    with answering(200, b"caller,amount\r\nada,1\r\n") as (url, asked):
        done = CliRunner().invoke(main, ["usage", "--url", f"{url}/", "--csv"])
    assert done.output == "caller,amount\nada,1\n"
    assert asked == [("/usage?by=model&format=csv", None)]


def test_no_rows_are_a_sentence() -> None:
    with answering(200, b'{"data": []}') as (url, _):
        assert CliRunner().invoke(main, ["usage", "--url", url]).output == "Nothing was charged.\n"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            422,
            b'{"detail": [{"msg": "by is wrong"}, {"msg": "from too"}]}',
            "the gateway answers 422: by is wrong; from too",
        ),
        (401, b'{"detail": {"msg": "a key is needed"}}', "the gateway answers 401: a key is needed"),
        (500, b"oh", "the gateway answers 500: it does not say why"),
        (200, b"<html>", "no gateway of Easel"),
        (200, b"[]", "no gateway of Easel"),
    ],
)
def test_an_error_is_one_line(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as (url, _):
        done = CliRunner().invoke(main, ["usage", "--url", url])
    assert done.exit_code == 1
    assert said in done.output
    assert len(done.output.splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "ftp://127.0.0.1", "file:///etc/passwd", "http://bad host/", "http://a:b"]
)
def test_a_gateway_that_is_not_there_is_one_line(url: str) -> None:
    done = CliRunner().invoke(main, ["usage", "--url", url])
    assert done.exit_code == 1
    assert done.output.startswith("easel: ")
    assert len(done.output.splitlines()) == 1
