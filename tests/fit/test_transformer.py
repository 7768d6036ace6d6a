"""The vision transformer is trained and measured like any network, by block too."""

import math
from pathlib import Path

import pytest
from reliability.processes import COMMON, ROOT

from collapse_lit.cli import main
from collapse_lit.tracking.run_directory import RunDirectory

BLOCKS = [f"backbone.encoder.layers.encoder_layer_{block}" for block in (0, 1)]


@pytest.mark.usefixtures("one_figure")
def test_the_transformer_learns_digits_and_its_blocks_are_measured(tmp_path: Path) -> None:
    network = ["--model.backbone", "small_vit", "--model.backbone_args", "{width: 12, depth: 2}"]
    blocks = f"[{', '.join(BLOCKS)}]"
    layers = ["--collapse.layers", blocks, "--recovery.layers", blocks]
    short = ["--trainer.max_epochs", "1", "--run_dir", str(tmp_path)]
    config = ["--config", str(ROOT / "configs/quickstart.yaml")]
    assert main(["fit", *config, *COMMON, *network, *layers, *short]) == 0
    (row,) = RunDirectory(tmp_path).read_history()
    wanted = [f"recovery_layers/{block}/{key}" for block in BLOCKS for key in ("acc", "nc1_fine")]
    wanted += [f"collapse_layers/{block}/nc1" for block in BLOCKS]
    assert all(math.isfinite(row[key]) for key in (*wanted, "collapse/nc1", "recovery/clp_test"))
