"""LoRAs on this machine: from a repository's id to its file, downloaded where it is missing.

They have a folder of their own in the Hub's cache, in the Hub's layout: what is in it may be deleted, and what models
are made of is never. Several runtimes may share it.

    <cache>/loras/models--nerijs--pixel-art-xl/          its time of change: when it was last asked for
    <cache>/loras/.in-use/models--nerijs--pixel-art-xl   locked by whoever downloads it, or deletes it
"""

import logging
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import WeakFileLock, tqdm  # type: ignore[attr-defined]

from easel_runtime.engine import GenerationError, LoraUnavailable
from easel_runtime.pipelines.disk import make_room

_log = logging.getLogger(__name__)
_BRANCH: Final = "main"
_USUAL: Final = "pytorch_lora_weights.safetensors"
"""What diffusers calls the file; taken where there are several."""
_PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt")
_REMEMBERED_SECONDS: Final = 300
"""How long the Hub is not asked again about a repository."""
_REMEMBERED: Final = 1000
"""Repositories that are remembered."""
_LOOK_UP_SECONDS: Final = 10
_DOWNLOAD_SECONDS: Final = 3600
"""Longest time of one download. Longer than a request waits, so that what is slow is there for a later one."""


@dataclass(frozen=True)
class _Known:
    """What came of asking for a repository."""

    until: float
    file: Path | None
    refusal: str = ""


@dataclass(frozen=True)
class _Listing:
    """What a repository holds at one commit: bytes by path."""

    commit: str
    sizes: Mapping[str, int]


class LoraFiles:
    """The LoRAs of one folder. `fetch` is for any thread."""

    def __init__(self, folder: Path, room: int, file_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`room`: most bytes of all files together; `file_bytes`: of one."""
        self._folder = folder
        self._room = room
        self._most = min(room, file_bytes)
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def fetch(self, repo_id: str) -> Path:
        """The safetensors file of the LoRA `repo_id`, at the commit that its branch has now.

        Raises:
            GenerationError: there is no such LoRA, or it is not one that is taken.
            LoraUnavailable: it cannot be had at present.
        """
        with self._lock:
            known = self._known.get(repo_id)
        if known is None or known.until <= self._clock() or (known.file is not None and not known.file.is_file()):
            known = self._ask(repo_id)
        if known.file is None:
            raise GenerationError(known.refusal)
        with suppress(OSError):  # a folder that was filled by somebody else, and cannot be written, is never full
            os.utime(self._home(repo_id))
        return known.file

    def _ask(self, repo_id: str) -> _Known:
        file, refusal = None, ""
        try:
            file = self._download(repo_id)
        except GenerationError as error:
            refusal = str(error)
        known = _Known(self._clock() + _REMEMBERED_SECONDS, file, refusal)
        with self._lock:
            self._known[repo_id] = known
            self._known.move_to_end(repo_id)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    def _download(self, repo_id: str) -> Path:
        home = self._home(repo_id)
        listing = self._listing(repo_id)
        name = weights_file(repo_id, listing.sizes)
        if listing.sizes[name] > self._most:
            raise GenerationError(
                f"LoRA {repo_id}: its file has {listing.sizes[name]} bytes, more than the {self._most} that are taken"
            )
        file = home / "snapshots" / listing.commit / name
        if file.is_file():
            return file
        locks = self._folder / ".in-use"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(locks / home.name, timeout=_DOWNLOAD_SECONDS):
                if not file.is_file():  # as it is when another runtime was faster
                    shutil.rmtree(home, ignore_errors=True)  # other commits, and what was left half-way
                    make_room(self._folder, locks, self._room - listing.sizes[name])
                    self._bring(repo_id, listing.commit, name)
        except GatedRepoError as error:
            raise GenerationError(
                f"LoRA {repo_id} is gated: whoever runs this model must accept its terms on the Hub and set HF_TOKEN"
            ) from error
        except Exception as error:  # of the file system, and of the HTTP client below the Hub's
            _log.warning("LoRA %s cannot be had: %s", repo_id, error)
            raise LoraUnavailable(f"LoRA {repo_id} cannot be downloaded at present; try again later") from error
        return file

    def _bring(self, repo_id: str, commit: str, name: str) -> None:
        _log.info("downloading LoRA %s: %s at %s", repo_id, name, commit)
        bar = _ended_after(self._clock, _DOWNLOAD_SECONDS)
        hf_hub_download(repo_id, name, revision=commit, cache_dir=self._folder, tqdm_class=bar)
        # For later, when the Hub cannot be asked: a download by commit leaves no trace of the branch.
        reference = self._home(repo_id) / "refs" / _BRANCH
        reference.parent.mkdir(exist_ok=True)
        reference.write_text(commit)

    def _listing(self, repo_id: str) -> _Listing:
        """By the Hub, or by what is here where the Hub cannot be reached."""
        here = self._listing_here(repo_id)
        if constants.HF_HUB_OFFLINE:
            if here is None:
                raise GenerationError(f"LoRA {repo_id} is not on this machine, which works without the Hub")
            return here
        try:
            found = HfApi().model_info(repo_id, revision=_BRANCH, files_metadata=True, timeout=_LOOK_UP_SECONDS)
        except (RepositoryNotFoundError, RevisionNotFoundError, DisabledRepoError, HFValidationError) as error:
            raise GenerationError(
                f"LoRA {repo_id}: there is no such repository on the Hub, or it is private"
            ) from error
        except Exception as error:  # of the HTTP client below the Hub's, which is another in each of its versions
            _log.warning("LoRA %s: the Hub cannot be asked: %s", repo_id, error)
            if here is None:
                raise LoraUnavailable(f"LoRA {repo_id}: the Hub cannot be reached; try again later") from error
            return here
        sizes = {file.rfilename: file.size for file in found.siblings or () if file.size is not None}
        return _Listing(str(found.sha), sizes)

    def _listing_here(self, repo_id: str) -> _Listing | None:
        """None if nothing of it is here."""
        home = self._home(repo_id)
        try:
            commit = (home / "refs" / _BRANCH).read_text().strip()
            sizes = {file.name: file.stat().st_size for file in (home / "snapshots" / commit).iterdir()}
        except OSError:
            return None
        return _Listing(commit, sizes)

    def _home(self, repo_id: str) -> Path:
        return self._folder / f"models--{repo_id.replace('/', '--')}"


def weights_file(repo_id: str, names: Mapping[str, int]) -> str:
    """The LoRA among the files of a repository: the one with safetensors at its root.

    Raises:
        GenerationError: there is none, or there are several and none has the name that diffusers gives.
    """
    root = sorted(name for name in names if "/" not in name)
    found = [name for name in root if name.endswith(".safetensors")]
    if _USUAL in found:
        return _USUAL
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise GenerationError(
            f"LoRA {repo_id} holds several files and none is called {_USUAL}: {shown}; name a repository of one file"
        )
    if any(name.endswith(_PICKLES) for name in root):
        raise GenerationError(
            f"LoRA {repo_id} has its weights as pickle only, which can hold programs; only safetensors are loaded"
        )
    raise GenerationError(f"LoRA {repo_id} holds no *.safetensors file at its root")


def _ended_after(clock: Callable[[], float], seconds: float) -> type[Any]:
    """A progress bar that shows nothing and ends the download that it is for when the time is over."""
    end = clock() + seconds

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **{**more, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:  # noqa: ARG002 (tqdm's)
            if clock() > end:
                raise TimeoutError(f"it took longer than {seconds:g} seconds")

    return Bar
