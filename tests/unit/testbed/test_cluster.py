from pathlib import Path

import pytest

from testbed.cluster import Cluster, Failed
from testbed.state import SETTINGS, Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / SETTINGS).write_text(Settings("run", [], []).to_json())
    return tmp_path


def test_the_cluster_is_the_one_inside_which_this_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_TESTBED", str(folder))
    assert Cluster.current().state.settings.run == "run"
    assert Cluster.current().node_names() == []


def test_kubectls_variable_is_enough(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
    assert Cluster.current().state.root == folder


def test_outside_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(Failed, match="testbed run"):
        Cluster.current()


def test_only_real_nodes_can_be_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EASEL_TESTBED", str(folder))
    for change in (Cluster.current().kill_node, Cluster.current().start_node, Cluster.current().remove_node):
        with pytest.raises(Failed, match="no real node sim"):
            change("sim")
