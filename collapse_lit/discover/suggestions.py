"""Suggest names: the words of the user's vocabulary that best match the images of a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from collapse_lit.discover.clusters_table import read_clusters
from collapse_lit.discover.csv_files import read_csv, readable
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.networks import available_device
from collapse_lit.discover.tables import pictures_by_path
from collapse_lit.errors import UserError
from collapse_lit.tracking.tables import write_csv

IMAGES = 32  # largest number per cluster, the most certain ones
PROMPT = "a photo of a {}"  # Radford et al., arXiv 2103.00020, section 3.1.4


def suggest(folder: DiscoveryFolder, model: Path, vocabulary: Path) -> dict[int, tuple[str, float]]:
    """Fill the column ``suggestion`` of ``names.csv``, and keep the names.

    A word's score is its probability among all words under a model such as CLIP, averaged over the
    32 most certain images of a cluster. The best word may still be wrong, so a person must confirm
    it.

    Args:
        folder: the folder of the discovery.
        model: folder of a CLIP-like model in the format of Hugging Face; nothing is downloaded.
        vocabulary: text file with at least two words or phrases, one per line.

    Returns:
        The word of each cluster with images, and its score.

    Raises:
        UserError: There is no discovery, its samples have no pictures, transformers is missing, or
            a file cannot be read.
    """
    summary = folder.read_summary()
    ids, columns = read_clusters(folder, summary)
    paths = columns.get("path")
    picture = None if paths is None else pictures_by_path(paths, folder.path)
    if picture is None:
        raise UserError(f"--suggest: the paths of the samples of {folder.path} are not pictures")
    with readable(vocabulary):
        words = [w.strip() for w in vocabulary.read_text(encoding="utf-8-sig").splitlines()]
    words = list(dict.fromkeys(word for word in words if word))
    if len(words) < 2:
        raise UserError(f"--vocabulary {vocabulary}: give at least two words, one per line")
    network, processor = _load(model)
    of_words = _texts(network, processor, words)  # (W, d)
    found: dict[int, tuple[str, float]] = {}
    confidence = torch.tensor([float(value) for value in columns["confidence"]])
    for cluster in ids.unique().tolist():
        rows = torch.where(ids == cluster)[0]
        rows = rows[confidence[rows].argsort(descending=True, stable=True)[:IMAGES]]
        images = [image for row in rows.tolist() if (image := _opened(picture, row)) is not None]
        if images:
            similar = network.logit_scale.exp() * _images(network, processor, images) @ of_words.T
            share = similar.softmax(dim=1).mean(dim=0)
            best = int(share.argmax())
            found[cluster] = words[best], float(share[best])
    _write(folder, found)
    return found


def _load(path: Path) -> tuple[Any, Any]:
    try:
        from transformers import AutoModel, AutoProcessor
    except ImportError as error:
        raise UserError("--suggest needs transformers: pip install transformers") from error
    try:
        network = AutoModel.from_pretrained(path, local_files_only=True)
        processor = AutoProcessor.from_pretrained(path, local_files_only=True)
    except Exception as error:  # transformers raises many error types
        said = " ".join(str(error).split())
        raise UserError(f"--suggest {path}: the model cannot be loaded ({said[:300]})") from error
    if not hasattr(network, "get_text_features") or not hasattr(network, "logit_scale"):
        raise UserError(f"--suggest {path}: this is not a model of images and text such as CLIP")
    return network.eval().to(available_device()), processor


@torch.no_grad()
def _texts(network: Any, processor: Any, words: Sequence[str]) -> Tensor:
    prompts = [PROMPT.format(word) for word in words]
    given = processor(text=prompts, return_tensors="pt", padding=True, truncation=True)
    return _directions(network.get_text_features(**given.to(network.device)))


@torch.no_grad()
def _images(network: Any, processor: Any, images: Sequence[Image.Image]) -> Tensor:
    given = processor(images=list(images), return_tensors="pt")
    return _directions(network.get_image_features(**given.to(network.device)))


def _directions(output: Any) -> Tensor:
    """Unit-length rows; newer versions of transformers wrap the output."""
    rows = output if isinstance(output, Tensor) else output.pooler_output
    return torch.nn.functional.normalize(rows.float(), dim=1)


def _opened(picture: Any, row: int) -> Image.Image | None:
    try:
        return picture(row)
    except Exception:  # Pillow raises many error types for a broken file
        return None


def _write(folder: DiscoveryFolder, found: dict[int, tuple[str, float]]) -> None:
    columns = read_csv(folder.names, ("cluster", "coarse", "size", "name"))
    rows = zip(*(columns[c] for c in ("cluster", "coarse", "size", "name")), strict=True)
    filled = ((*row, found.get(int(row[0]), ("", 0.0))[0]) for row in rows)
    write_csv(folder.names, ("cluster", "coarse", "size", "name", "suggestion"), filled)
