"""A synthetic run directory that looks like that of a long run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from collapse_lit.pages import make_sprite
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.whole_files import write_json, write_whole

COLOURS = ("red", "green", "blue", "yellow")
MEASURES = ("nc1", "nc1_trace", "cdnv", "nc2_equinorm", "nc2_equiangular", "nc2_etf", "nc3", "nc4")


def write_run(
    path: Path,
    fine_names: Sequence[str] = ("cat", "dog", "car", "ship"),
    coarse_names: Sequence[str] = ("animal", "vehicle"),
    *,
    epochs: int = 4,
    snapshots: Sequence[int] = (0, 1, 3),
    points: int = 40,
    side: int = 12,
    told: bool = True,
    noise: bool = False,
) -> RunDirectory:
    """Fine class i is in coarse class i mod C; a sample's picture has its class's colour.

    ``told=False`` leaves the fine labels out; ``noise`` makes pictures that compress badly.
    """
    run, rng = RunDirectory(path), np.random.default_rng(0)
    run.create()
    write_json(run.identity, {"name": path.name, "wandb_id": "abc", "seed": 0, "started": "now"})
    write_whole(run.config, b"data: {source: digits}\nmodel: {backbone: small_cnn}\n")
    for epoch in range(epochs):
        row = {
            f"{split}/{m}": 0.9**epoch for split in ("collapse", "collapse_test") for m in MEASURES
        }
        row |= {"epoch": epoch, "train/loss": 1 / (epoch + 1), "test/acc_coarse": 0.9}
        row |= {"recovery/separation": 0.5, "recovery/stability": 0.9, "recovery/silhouette": 0.5}
        row["recovery/space"] = ["white2/gmm"] * len(coarse_names)
        if told:
            row |= {"recovery/acc": 0.9, "recovery/acc_raw": 0.6, "recovery/floor": 0.5}
            row |= {"recovery/clp_test": 0.875, "recovery/probe_test": 0.95}
        run.append_history(row)
    fine = np.arange(points) % len(fine_names)
    coarse = fine % len(coarse_names)
    centres = rng.normal(size=(len(fine_names), 2)) * 8
    for epoch in snapshots:
        arrays = {
            "fine_names": list(fine_names),
            "coarse_names": list(coarse_names),
            "space": ["white2/gmm"] * len(coarse_names),
            "spread": [0.5 / (epoch + 1)] * len(coarse_names),
            "xy": (centres[fine] + rng.normal(size=(points, 2))).astype(np.float32),
            "coarse": coarse,
            "cluster": fine,
            "fine": fine if told else np.full(points, -1),
            "index": np.arange(points) * 7,
        }
        if told:
            distances = rng.uniform(1, 2 + epoch, (len(fine_names),) * 2)
            arrays["class_distances"] = distances + distances.T
        run.write_snapshot(epoch, arrays)
    pictures = (
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        if noise
        else Image.new("RGB", (side, side), COLOURS[f % 4])
        for f in fine.tolist()
    )
    sprite = make_sprite((np.arange(points) * 7).tolist(), pictures)
    assert sprite is not None
    run.write_thumbnails(sprite.arrays)
    return run
