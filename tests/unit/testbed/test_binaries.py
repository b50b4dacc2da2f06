import re
from pathlib import Path

import pytest

from testbed import binaries, prerequisites, versions
from testbed.binaries import BuildFailed, Go, Recipe


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(binaries, "cache", lambda: tmp_path)
    return tmp_path


def use(monkeypatch: pytest.MonkeyPatch, *recipes: Recipe) -> None:
    monkeypatch.setattr(binaries, "recipes", lambda: recipes)


def writing(name: str) -> Recipe:
    def make(go: Go, folder: Path) -> None:
        (folder / name).write_text("#!/bin/sh")
        (folder / name).chmod(0o755)
        (folder / "notes.yaml").touch()

    return Recipe(name, "1", make)


def test_versions_are_whole_and_those_of_the_modules_follow() -> None:
    for version in (versions.KUBERNETES, versions.ETCD, versions.COREDNS, versions.HELM, versions.KWOK):
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert f"0.{versions.KUBERNETES.split('.', 1)[1]}" == versions.STAGING


def test_every_version_and_every_edition_has_a_folder_of_its_own(cache: Path) -> None:
    make = writing("x").make
    variants = [Recipe("x", "1", make), Recipe("x", "2", make), Recipe("x", "1", make, "2")]
    assert len({variant.folder for variant in variants}) == len(variants)
    folders = [recipe.folder for recipe in binaries.recipes()]
    assert len(set(folders)) == len(folders)


def test_kubernetes_is_told_its_version_in_both_places() -> None:
    flags = binaries.kubernetes_version_flags("1.36.3").split()
    assert flags.count("-X") == 6
    assert "k8s.io/client-go/pkg/version.gitVersion=v1.36.3" in flags
    assert "k8s.io/component-base/version.gitMinor=36" in flags


def test_what_is_missing_is_built_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(monkeypatch, writing("one"), writing("two"))
    assert [recipe.name for recipe in binaries.missing()] == ["one", "two"]
    binaries.build()
    assert binaries.missing() == []
    assert set(binaries.programs()) == {"one", "two"}
    assert "building two" in capsys.readouterr().err
    binaries.build()
    assert capsys.readouterr().err == ""


def test_a_build_that_fails_leaves_nothing_and_says_why(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(go: Go, folder: Path) -> None:
        (folder / "half").touch()
        go.log.write_text("out of memory\n")
        raise BuildFailed("out of memory")

    use(monkeypatch, Recipe("broken", "1", make))
    with pytest.raises(BuildFailed, match="out of memory"):
        binaries.build()
    assert {path.name for path in cache.iterdir()} == {"lock", "broken.log"}


def test_what_an_interrupted_build_left_is_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / ".building-one" / "deep").mkdir(parents=True)
    use(monkeypatch, writing("one"))
    binaries.build()
    assert {path.name for path in cache.iterdir()} == {"lock", "one-1-1"}


@pytest.mark.parametrize(
    ("told", "version"), [("go1.26.8", (1, 26, 8)), ("go1.27", (1, 27)), ("go1.26.6-X:nodwarf5", (1, 26, 6))]
)
def test_gos_version_is_read(told: str, version: tuple[int, ...]) -> None:
    assert prerequisites.go_version(told) == version


def test_it_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(prerequisites.CannotHere, match="root"):
        prerequisites.check()


def test_it_takes_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(prerequisites.CannotHere, match="Linux"):
        prerequisites.check()


def test_building_takes_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(prerequisites.CannotHere, match=r"1\.26\.6"):
        prerequisites.check_go()
