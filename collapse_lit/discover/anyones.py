"""Find sub-classes of any network from Python, with any data loader."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from torch import nn

from collapse_lit.discover.discovery import Discovery, discover
from collapse_lit.discover.folder import DiscoveryFolder
from collapse_lit.discover.heads import OUTPUT, Logits, Pool, Pooled, classifying_layer, prepared
from collapse_lit.discover.predictions import of_logits
from collapse_lit.discover.samples import Picture, make_samples
from collapse_lit.discover.wanted import Wanted
from collapse_lit.errors import UserError
from collapse_lit.features import extract_features
from collapse_lit.reading.batches import Batch, take_apart


def discover_network(
    model: nn.Module,
    loader: Iterable[Any],
    layer: str | None = None,
    *,
    names: Sequence[str] | None = None,
    pool: Pool | None = None,
    k: Wanted = "auto",
    seed: int = 0,
    space: str | None = None,
    picture: Picture | None = None,
    out: str | Path | None = None,
) -> Discovery:
    """Find the sub-classes inside each class of a classifier.

    The network runs once over the loader, on the device of its weights.

    Args:
        model: any classifier; it is not changed.
        loader: batches ``(inputs, labels)``, ``(inputs, labels, fine labels)``, or dictionaries
            with the usual keys, in a fixed order: no shuffling.
        layer: path of the layer whose input is the feature, such as ``"fc"``; ``"output"`` where
            the network returns features; None for the last ``nn.Linear``.
        names: names of the classes by label; None to use numbers.
        pool: how tokens (n, t, c) that enter the layer become one row: ``"cls"`` or ``"mean"``.
        k: clusters in every class, or ``"auto"``, or ``{class: number}``.
        seed: seed of all random starts and halves.
        space: a space and clusterer for all classes; None to choose one for each class.
        picture: function that returns the picture of a sample by its row, for the page.
        out: folder for ``report.html`` and the tables; None to write nothing.

    Raises:
        UserError: The layer, a batch or an option cannot be used, or ``out`` cannot be written to.
    """
    folder = None if out is None else DiscoveryFolder(Path(out))
    if folder is not None:
        folder.claim()
    where = layer or classifying_layer(model, type(model).__name__)
    place = next((p.device for p in model.parameters()), "cpu")
    whole, path = prepared(model, where, pool)
    try:
        with Logits(whole) as logits:
            found = extract_features(whole, _batches(loader), path, device=place)
    finally:
        if pool is not None and where != OUTPUT:
            wrapped = whole.get_submodule(where)
            assert isinstance(wrapped, Pooled)
            model.set_submodule(where, wrapped.layer)
    called = [str(c) for c in range(int(found.coarse.max()) + 1)] if names is None else list(names)
    if int(found.coarse.max()) >= len(called):
        raise UserError(
            f"names: {len(called)} names given, but labels go up to {int(found.coarse.max())}"
        )
    samples = make_samples(
        found.features,
        [called[c] for c in found.coarse.tolist()],
        None if found.fine is None else found.fine,
        picture=picture,
        origin={"model": type(model).__name__, "layer": where, "pool": pool},
        extracted=True,
    )
    if where != OUTPUT:
        samples = of_logits(logits.every(), called, samples)
    discovery = discover(samples, k, seed, space)
    if folder is not None:
        from collapse_lit.discover.writing import write_discovery  # importing Plotly takes a second

        write_discovery(folder, samples, discovery, {"k": k, "space": space, "seed": seed})
    return discovery


def _batches(loader: Iterable[Any]) -> Iterator[Batch]:
    shown: Callable[..., Iterable[Any]] = track
    for raw in shown(loader, description="features", console=Console(stderr=True)):
        batch = take_apart(raw)
        if bool((batch.coarse < 0).any()):
            raise UserError("a label is negative; every sample needs a class from 0 on")
        yield batch
