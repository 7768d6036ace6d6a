r"""Your own data set: a function that takes the root folder and returns labelled images.

    collapse-lit fit --config configs/quickstart.yaml --run_dir runs/own_source \
        --data.source own_source.load --data.num_coarse 2

Run this in the directory of this file, or install its package.
"""

from pathlib import Path

import torch

from collapse_lit.data import LabelledImages, Split


def load(root: Path) -> LabelledImages:
    """Bars of four directions in noise, 8×8. They are drawn; others would be read from ``root``."""
    return LabelledImages(_draw(1200, seed=0), _draw(400, seed=1), ("—", "|", "/", "\\"))


def _draw(n: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    bar = torch.zeros(4, 8, 8)
    bar[0, 3:5], bar[1, :, 3:5] = 200, 200
    bar[2], bar[3] = 200 * torch.eye(8).fliplr(), 200 * torch.eye(8)
    noise = 40 * torch.rand(n, 8, 8, generator=generator)
    return Split((bar[labels] + noise)[:, None].to(torch.uint8), labels)
