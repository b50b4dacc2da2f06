"""The `easel` command. Each subcommand imports what it needs when it runs, so `easel --help` is instant."""

import sys
from pathlib import Path
from typing import Any

import click

from easel_crds import __version__
from easel_crds.metadata import GATEWAY_PORT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="easel")
def main() -> None:
    """Easel serves image-to-image diffusion models, declared in manifests, with prices."""


_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))


@main.command()
@_FILES
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=GATEWAY_PORT, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on; 0: any."
)
@click.option("--public-url", default=None, help="URL under which callers reach it, for links to results.")
@click.option("--results", default="", help="Folder for results, or s3://bucket/prefix.")
@click.option("--require-keys", "keys_required", is_flag=True, help="Every request needs one of the keys in FILES.")
@click.option("--plain", is_flag=True, help="Plain lines in the place of the live table.")
def up(*, files: tuple[Path, ...], host: str, port: int, results: str, plain: bool, **more: Any) -> None:
    """Serve the ImageModels in FILES (or folders of them) on this machine, with processes instead of pods.

    Warm models start at once, others at their first request. The files are read again when they change.
    """
    from platformdirs import user_cache_path, user_data_path
    from pydantic import ValidationError
    from rich.console import Console

    from easel_gateway.server import run as serve
    from easel_gateway.settings import Settings
    from easel_local.output import logging_to
    from easel_local.up import NothingToServe, Options
    from easel_local.up import up as run

    console = Console(force_terminal=False if plain else None)
    store = results or str(user_cache_path("easel") / "results")
    try:
        settings = Settings(**{name: value for name, value in more.items() if value})  # else the variables count
        with logging_to(console):
            serve(run(Options(files, host, port, store, user_data_path("easel"), settings), console))
    except ValidationError as error:
        prefix = Settings.model_config.get("env_prefix", "")
        sys.exit("\n".join(f"{prefix}{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()))
    except NothingToServe as error:
        sys.exit(f"easel: {error}")


@main.command()
@click.argument("name")
@click.option("--namespace", default="", help="Of the Secret: the gateway's.")
@click.option("--model", "models", multiple=True, help="Model id, or a pattern such as stabilityai/*; all if none.")
@click.option("--requests-per-minute", type=click.IntRange(1))
@click.option("--pixels-per-minute", type=click.IntRange(1), help="Height x width x images.")
@click.option("--concurrent", type=click.IntRange(1), help="Requests at one time.")
@click.option("--budget", default="", help='Such as "10 USD per day" or "200 USD per month".')
@click.option("--admin", is_flag=True, help="It shows the usage of all keys, and the status.")
@click.option("--keep", multiple=True, help="Hash (sha256:...) of an older key that stays valid, for a rotation.")
def key(**asked: Any) -> None:
    """Make a key for the caller NAME: its Secret on standard output, the key itself, once, on standard error."""
    from easel_local.keys import Asked, made

    try:
        token, manifest = made(Asked(**asked))
    except ValueError as error:
        sys.exit(f"easel: {error}")
    click.echo(manifest, nl=False)
    click.echo(f"the key, which nothing else knows: {token}", err=True)


@main.command()
@_FILES
def check(files: tuple[Path, ...]) -> None:
    """Check the manifests in FILES; exit code 1 if any would be refused."""
    from easel_local import documents, manifests

    found, findings = manifests.merged(manifests.Manifests(), documents.read(files))
    if not found.sources and not findings:
        sys.exit("there is no manifest in these files")
    if findings:
        sys.exit("\n".join(map(str, findings)))
    click.echo(f"{len(found.sources)} resources are valid")


@main.command()
@click.option("--url", default=f"http://127.0.0.1:{GATEWAY_PORT}", show_default=True, help="Of the gateway.")
@click.option("--key", envvar="EASEL_KEY", help="Key to come with; EASEL_KEY has it too, and is seen by fewer.")
@click.option(
    "--by", default="model", show_default=True, help="A row for each: any of caller, model, day, with commas."
)
@click.option("--since", help="Date (its first moment in UTC) or time, from when on.")
@click.option("--until", help="Date (to its end) or time, until when.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV in the place of a table.")
def usage(*, url: str, key: str | None, by: str, since: str | None, until: str | None, as_csv: bool) -> None:
    """What was charged by the gateway at --url, added up."""
    from easel_local.usage import NoUsage, show

    try:
        show(url, key, {"by": by, "from": since, "to": until}, as_csv=as_csv)
    except NoUsage as error:
        sys.exit(f"easel: {error}")
