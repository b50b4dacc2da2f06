import hashlib
import io
import json
import tarfile
from pathlib import Path

from testbed.scratch_image import write_image


def test_an_image_holds_its_program_and_names_it(tmp_path: Path) -> None:
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    write_image(tmp_path / "image.tar", "easel.test/pause:1", program)
    with tarfile.open(tmp_path / "image.tar") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    (named,) = json.loads(files["index.json"])["manifests"]
    assert named["annotations"]["io.containerd.image.name"] == "easel.test/pause:1"
    manifest = json.loads(files[f"blobs/{named['digest'].replace(':', '/')}"])
    (layer,) = manifest["layers"]
    blob = files[f"blobs/{layer['digest'].replace(':', '/')}"]
    config = json.loads(files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert layer["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}" == config["rootfs"]["diff_ids"][0]
    assert layer["size"] == len(blob)
    assert config["config"]["Entrypoint"] == ["/pause"]
    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        (member,) = tar
    assert (member.name, member.mode) == ("pause", 0o755)
