"""What is in force: the last valid form of every resource that the files hold.

A document that is wrong never takes down what is running: its last valid form goes on (see `merged`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from easel_crds.imagemodel import ImageModel
from easel_crds.keys import Key
from easel_crds.manifest import Problem
from easel_crds.rules import refused_changes
from easel_crds.runtimeprofile import DEFAULT_PROFILE, RuntimeProfile
from easel_local.documents import Finding, Reading


@dataclass(frozen=True)
class Source:
    """A resource that is in force, and the file it came from."""

    file: Path
    resource: ImageModel | RuntimeProfile


@dataclass(frozen=True)
class Manifests:
    """The resources in force, by kind and name."""

    sources: Mapping[tuple[str, str], Source] = field(default_factory=dict)
    keys: tuple[tuple[Path, Key], ...] = ()
    """Keys of callers, and the files of their Secrets. One that became wrong lets nobody in."""

    @property
    def models(self) -> dict[str, ImageModel]:
        """ImageModels by name."""
        return {s.resource.name: s.resource for s in self.sources.values() if isinstance(s.resource, ImageModel)}

    def profile(self, name: str) -> RuntimeProfile | None:
        """The RuntimeProfile of that name; `default` always exists."""
        source = self.sources.get(("RuntimeProfile", name))
        if source is not None and isinstance(source.resource, RuntimeProfile):
            return source.resource
        return DEFAULT_PROFILE if name == DEFAULT_PROFILE.name else None


def merged(before: Manifests, reading: Reading) -> tuple[Manifests, tuple[Finding, ...]]:
    """What is in force after `reading`, and what of it is refused.

    Kept as they were: resources of a file that cannot be read, and those whose new form is not valid or changes what
    cannot be changed. Of two resources with one name, or one modelId, the one in force counts, else the first.
    """
    findings = list(reading.findings)
    kept: dict[tuple[str, str], Source] = {
        key: source
        for key, source in before.sources.items()
        if not reading.unreadable.isdisjoint((source.file, source.file.parent))
    }
    in_force = {(source.file, name) for (_, name), source in before.sources.items()}
    for document in sorted(reading.documents, key=lambda document: (document.file, document.name) not in in_force):
        if document.resource is None:
            kept |= {key: s for key, s in before.sources.items() if key[1] == document.name and s.file == document.file}
            continue
        key = (document.resource.kind, document.resource.name)
        old = before.sources.get(key)
        problems = tuple(_conflicts(document.resource, old, kept))
        findings += [Finding(document.file, document.lines.of(problem.path), problem) for problem in problems]
        if not problems:
            kept[key] = Source(document.file, document.resource)
        elif old is not None and key not in kept:
            kept[key] = old
    unread = tuple((file, key) for file, key in before.keys if not reading.unreadable.isdisjoint((file, file.parent)))
    result = Manifests(kept, (*reading.keys, *unread))
    return result, (*findings, *_missing_profiles(result, reading))


def _conflicts(
    resource: ImageModel | RuntimeProfile, old: Source | None, kept: Mapping[tuple[str, str], Source]
) -> Iterator[Problem]:
    taken = kept.get((resource.kind, resource.name))
    if taken is not None and taken.resource is not (old.resource if old else None):
        yield Problem(("metadata", "name"), f"{resource.kind} {resource.name} is already in {taken.file}")
        return
    if old is not None:
        for path, message in refused_changes(old.resource, resource):
            yield Problem(path, message)
    if isinstance(resource, ImageModel):
        for source in kept.values():
            other = source.resource
            if not isinstance(other, ImageModel) or other.name == resource.name:
                continue
            if other.spec.model_id == resource.spec.model_id:
                yield Problem(("spec", "modelId"), f"ImageModel {other.name} serves {other.spec.model_id} already")


def _missing_profiles(manifests: Manifests, reading: Reading) -> Iterator[Finding]:
    for document in reading.documents:
        model = document.resource
        if isinstance(model, ImageModel) and manifests.profile(model.spec.profile) is None:
            problem = Problem(("spec", "profile"), f"there is no RuntimeProfile {model.spec.profile} in these files")
            yield Finding(document.file, document.lines.of(problem.path), problem)
