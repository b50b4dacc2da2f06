"""A repository of the Hub on this machine: what it holds, and its files, downloaded where they are missing.

`HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and the other variables of the Hub's client work as usual. Offline, or with
the Hub out of reach, the cache alone decides.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import constants, get_cached_repo_tree, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from easel_runtime.engine import LoadError
from easel_runtime.pipelines.families import Repository
from easel_runtime.pipelines.weights import INDEX
from easel_runtime.progress import expect

_CARD: Final = "README.md"
"""Of every repository, also of one that holds no pipeline; the Hub's client wants to download something."""


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit: all that is loaded from it belongs together, whatever its branch does meanwhile."""

    repository: Repository
    folder: Path
    """Of the files that are on this machine."""
    sizes: Mapping[str, int]
    """Of the files that can be had: bytes by path."""
    cache: Path | None

    @property
    def commit(self) -> str:
        """Commit of the files, by which the Hub's client names their folder; blank for a plain folder."""
        return self.folder.name if self.repository.revision else ""


def look_up(repository: Repository, cache: Path | None) -> Snapshot:
    """What `repository` holds, with the small files downloaded that describe it.

    `cache`: folder in the Hub's layout; None: the Hub client's own.

    Raises:
        LoadError: it cannot be had.
    """
    with _refusals(repository):
        try:
            path = snapshot_download(
                repository.repo_id, revision=repository.revision, cache_dir=cache, allow_patterns=[INDEX, _CARD]
            )
        except IncompleteSnapshotError as error:  # the Hub cannot be reached; what is missing may not be needed
            path = str(error.snapshot_path)
    folder = Path(path)
    return Snapshot(repository, folder, _sizes(repository, folder, cache), cache)


def of_folder(folder: Path) -> Snapshot:
    """A repository that is a plain folder."""
    return Snapshot(Repository(str(folder), ""), folder, _sizes_in(folder), None)


def complete(snapshot: Snapshot, paths: Collection[str]) -> None:
    """Download what is missing of `paths`.

    Raises:
        LoadError: something cannot be had.
    """
    missing = sorted(path for path in paths if not (snapshot.folder / path).is_file())
    if not missing:
        return
    expect(snapshot.repository.repo_id, sum(snapshot.sizes.get(path, 0) for path in missing))
    with _refusals(snapshot.repository):
        snapshot_download(
            snapshot.repository.repo_id, revision=snapshot.commit, cache_dir=snapshot.cache, allow_patterns=missing
        )


def _sizes(repository: Repository, folder: Path, cache: Path | None) -> Mapping[str, int]:
    if constants.HF_HUB_OFFLINE:
        return _sizes_in(folder)
    try:
        tree = get_cached_repo_tree(repository.repo_id, revision=folder.name, cache_dir=cache)
    except CachedRepoTreeNotFoundError:  # the Hub cannot be reached, and the cache was filled by an older client
        return _sizes_in(folder)
    return {file.path: file.size for file in tree}


def _sizes_in(folder: Path) -> Mapping[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


@contextmanager
def _refusals(repository: Repository) -> Iterator[None]:
    """Turns what the Hub's client raises into one sentence for the person who declared the model."""
    name, revision = repository.repo_id, repository.revision
    try:
        yield
    except GatedRepoError as error:
        raise LoadError(f"{name} is gated: accept its terms on the Hub and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise LoadError(f"{name} has no revision {revision}") from error
    except RepositoryNotFoundError as error:
        raise LoadError(f"there is no repository {name} on the Hub, or it needs HF_TOKEN") from error
    except LocalEntryNotFoundError as error:
        raise LoadError(f"the Hub cannot be reached, and {name} is not in the cache (revision {revision})") from error
    except Exception as error:  # of the HTTP client below the Hub's, which is another in each of its versions
        raise LoadError(f"{name} cannot be loaded: {error}") from error
