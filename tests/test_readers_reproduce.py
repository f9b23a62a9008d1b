"""From each layout to a table: the whole way, on miniatures with rendered faces."""

import pytest
from miniatures import have_faces, make_cremad, make_dfew, make_folder, make_ravdess

from ecstfl.cli import main

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("dfew", lambda root: make_dfew(root, per_fold=2, faces=True)),
        ("ravdess", lambda root: make_ravdess(root, actors=(1, 3, 5), most=2, faces=True)),
        ("crema-d", lambda root: make_cremad(root, actors=(1001, 1002, 1003), most=2, faces=True)),
        ("own", lambda root: make_folder(root, faces=True, clips=2)),
    ],
)
def test_reproduce_ends_in_a_table(tmp_path, monkeypatch, name, make):
    if not have_faces():
        pytest.skip("the embedded clips are not here")
    monkeypatch.chdir(tmp_path)
    root = make(tmp_path / name)
    data = [str(root)] if name == "own" else [name, "--root", str(root)]
    words = ["reproduce", "--data", *data, "--profile", "smoke", "--device", "cpu"]
    assert main([*words, "--workers", "1"]) == 0
    (table,) = tmp_path.glob("results/*/table.md")
    text = table.read_text()
    assert "softmax only" in text
    assert "EC-STFL" in text
    assert str(tmp_path) not in text
