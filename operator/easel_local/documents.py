"""YAML files: their documents, checked one by one, and the line of every field."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any, Final

import yaml

from easel_crds.imagemodel import ImageModel
from easel_crds.keys import Key, is_key, parse_key
from easel_crds.manifest import InvalidManifest, Problem, parse
from easel_crds.runtimeprofile import RuntimeProfile

_MAX_BYTES: Final = 1 << 20
_MAX_NODES: Final = 100_000

Signature = tuple[tuple[Path, int, int, int], ...]
"""Of files: name, time and size of each, and where it is."""


@dataclass(frozen=True)
class Finding:
    """One problem, where a person finds it."""

    file: Path
    line: int
    problem: Problem

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.problem}"


@dataclass(frozen=True)
class Document:
    """One document of a file: a resource, or the name of one that is not valid."""

    file: Path
    name: str
    resource: ImageModel | RuntimeProfile | None
    lines: "Lines"


@dataclass(frozen=True)
class Reading:
    """What the files say at one moment."""

    documents: tuple[Document, ...]
    findings: tuple[Finding, ...]
    unreadable: frozenset[Path]
    """Files of which nothing is known at this moment."""
    keys: tuple[tuple[Path, Key], ...] = ()
    """Keys of callers, and the files of their Secrets."""


class _Loader(yaml.SafeLoader):
    """YAML as the API server reads it: no dates, they stay text; 1e-8 is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


@dataclass(frozen=True)
class Lines:
    """Finds the line of a field in a document."""

    node: yaml.Node
    duplicates: tuple[Problem, ...]
    """Keys that are given twice; YAML would silently keep the last."""

    def of(self, path: Iterable[str | int]) -> int:
        """Line of the deepest part of `path` that the document has."""
        node, line = self.node, self.node.start_mark.line + 1
        for key in path:
            if isinstance(node, yaml.MappingNode):
                found = next(((k, v) for k, v in node.value if k.value == str(key)), None)
                if found is None:
                    break
                line, node = found[0].start_mark.line + 1, found[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
                node = node.value[key]
                line = node.start_mark.line + 1
            else:
                break
        return line


def _duplicates(node: yaml.Node, path: tuple[str | int, ...], visited: set[yaml.Node]) -> Iterator[Problem]:
    if node in visited:  # an alias, perhaps of what it stands in
        return
    visited.add(node)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                yield Problem((*path, name), "is given twice; remove one")
            seen.add(name)
            yield from _duplicates(value, (*path, name), visited)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _duplicates(item, (*path, index), visited)


def _size(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """Number of values in `node` with its aliases written out; a few hundred bytes can hold billions."""
    if node not in known:
        known[node] = _MAX_NODES + 1  # for an alias of what it stands in
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[node] = 1 + (sum(_size(part, known) for part in parts) if not isinstance(node, yaml.ScalarNode) else 0)
    return known[node]


def read(paths: Iterable[Path]) -> Reading:
    """Read every document of the files, and of the `*.yaml` and `*.yml` files of the folders, in `paths`.

    A file whose YAML is broken is `unreadable` as a whole; a document that is no valid resource has none.
    """
    documents: list[Document] = []
    findings: list[Finding] = []
    unreadable: set[Path] = set()
    keys: list[tuple[Path, Key]] = []
    for file in files(paths):
        try:
            nodes = list(_compose(file))
        except (OSError, ValueError, IndexError, RecursionError, yaml.YAMLError) as error:
            unreadable.add(file)
            findings.append(_unreadable(file, error))
            continue
        for lines, value in nodes:
            if isinstance(value, dict) and is_key(value) and not lines.duplicates:
                try:
                    keys.append((file, parse_key(value)))
                except InvalidManifest as error:
                    findings += [Finding(file, lines.of(problem.path), problem) for problem in error.problems]
                continue
            document, problems = _document(file, lines, value)
            documents.append(document)
            findings += [Finding(file, document.lines.of(problem.path), problem) for problem in problems]
    return Reading(tuple(documents), tuple(findings), frozenset(unreadable), tuple(keys))


def files(paths: Iterable[Path]) -> list[Path]:
    """The files that `paths` names; a folder stands for the YAML files in it."""
    found: list[Path] = []
    for path in paths:
        found += [file for file in _inside(path) if file not in found]
    return found


def signature(paths: Iterable[Path]) -> Signature:
    """Something that differs when any of the files does: its name, or when, where or how long it was written."""
    states = []
    for file in files(paths):
        try:
            found = file.stat()
        except OSError:
            continue
        states.append((file, found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(states)


def _inside(path: Path) -> list[Path]:
    try:
        return sorted(item for item in path.iterdir() if item.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
    except OSError:
        return [path]  # a folder that cannot be listed cannot be read either, and then it is said


def _compose(file: Path) -> Iterator[tuple[Lines, Any]]:
    found = file.stat()
    if not S_ISREG(found.st_mode):
        raise yaml.YAMLError("is not a regular file")
    if found.st_size > _MAX_BYTES:
        raise yaml.YAMLError(f"is larger than {_MAX_BYTES} bytes")
    text = file.read_text()
    if not text.strip():  # as a file is while it is being written; to remove what it held, remove the file
        raise yaml.YAMLError("is empty")
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            if _size(node, {}) > _MAX_NODES:
                raise yaml.YAMLError(f"has more than {_MAX_NODES} values, its aliases written out")
            lines = Lines(node, tuple(_duplicates(node, (), set())))  # before merge keys (<<) are carried out in place
            if (value := loader.construct_document(node)) is not None:
                yield lines, value
    finally:
        loader.dispose()


def _unreadable(file: Path, error: Exception) -> Finding:
    mark = getattr(error, "problem_mark", None)
    sentence = getattr(error, "problem", None) or getattr(error, "strerror", None) or str(error)
    return Finding(file, mark.line + 1 if mark else 1, Problem((), f"cannot be read: {sentence}"))


def _document(file: Path, lines: Lines, value: Any) -> tuple[Document, tuple[Problem, ...]]:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    if lines.duplicates:
        return Document(file, name, None, lines), lines.duplicates
    try:
        return Document(file, name, parse(value), lines), ()
    except InvalidManifest as error:
        return Document(file, name, None, lines), error.problems
