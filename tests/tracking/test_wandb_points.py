"""The table of points: the right names and pictures, and a limited number of pictures."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from collapse_lit.pages.sprite import make_sprite
from collapse_lit.tracking import wandb_points
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_points import point_columns, points_table, staged_in

POINTS = {
    "xy": np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], dtype=np.float32),
    "index": np.array([7, 8, 9]),
    "coarse": np.array([1, 0, 1]),
    "cluster": np.array([3, 0, 2]),
    "fine": np.array([0, 2, 1]),
    "fine_names": np.array(["cat", "dog", "ship"]),
    "coarse_names": np.array(["vehicle", "animal"]),
}


def test_classes_have_their_names() -> None:
    assert point_columns(POINTS) == {
        "sample": [7, 8, 9],
        "coarse": ["animal", "vehicle", "animal"],
        "cluster": ["cluster 3", "cluster 0", "cluster 2"],
        "fine": ["cat", "ship", "dog"],
        **{"x": [0.0, 2.0, 4.0], "y": [1.0, 3.0, 5.0]},
    }


def test_unknown_fine_labels_are_no_column() -> None:
    assert "fine" not in point_columns({**POINTS, "fine": np.full(3, -1)})


def test_each_picture_is_that_of_its_sample_and_no_more_than_the_most(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(wandb_points, "MOST_PICTURES", 2)
    run = RunDirectory(tmp_path)
    run.write_snapshot(0, POINTS)
    grey = {7: 10, 8: 120, 9: 240}
    sprite = make_sprite(list(grey), (Image.new("RGB", (8, 8), (g, g, g)) for g in grey.values()))
    run.write_thumbnails(sprite.arrays)
    table = points_table(run, [{"epoch": 0}])
    shown = {row[1]: row[0] for row in table.data}
    assert table.columns == ["thumbnail", "sample", "coarse", "cluster", "fine", "x", "y"]
    assert list(shown) == [7, 9, 8]  # first what has a picture
    assert shown[8] is None
    for sample in (7, 9):
        pixel = shown[sample].image.getpixel((4, 4))
        assert abs(pixel[0] - grey[sample]) <= 2


def test_without_a_scatter_there_is_no_table(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_snapshot(0, {"class_distances": np.zeros((2, 2))})
    assert points_table(run, []) is None


def test_files_are_staged_in_the_run_unless_the_user_has_said_where(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    with staged_in(tmp_path):
        assert os.environ["WANDB_DATA_DIR"] == str(tmp_path)
    assert "WANDB_DATA_DIR" not in os.environ
    monkeypatch.setenv("WANDB_DATA_DIR", "/elsewhere")
    with staged_in(tmp_path):
        assert os.environ["WANDB_DATA_DIR"] == "/elsewhere"
