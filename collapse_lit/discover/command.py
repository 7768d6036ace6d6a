"""``collapse-lit discover`` and ``collapse-lit predict``: arguments in, files and a table out."""

import argparse
from collections.abc import Sequence
from dataclasses import fields

from rich.console import Console

from collapse_lit.discover.inputs import Input
from collapse_lit.discover.options import discover_parser, predict_parser
from collapse_lit.errors import UserError


def run_discover(arguments: Sequence[str]) -> None:
    """Find sub-classes, or fit the names given to them.

    Raises:
        UserError: The input, an option or the folder cannot be used.
    """
    options = discover_parser().parse_args(arguments)
    source = _source(options)
    from collapse_lit.discover.terminal import make_console, shown

    console = make_console()
    on_folder = [name for name in ("export", "names", "suggest") if getattr(options, name)]
    if on_folder and (source != Input() or len(on_folder) > 1):
        raise UserError(
            f"--{on_folder[0]} works on the discovery in --out: give no other options about samples"
        )
    if (options.suggest is None) != (options.vocabulary is None):
        raise UserError("--suggest and --vocabulary need each other: give both")
    if options.suggest is not None:
        from collapse_lit.discover.folder import DiscoveryFolder
        from collapse_lit.discover.suggestions import suggest

        folder = DiscoveryFolder(options.out)
        found = suggest(folder, options.suggest, options.vocabulary)
        for cluster, (word, share) in found.items():
            console.print(f"cluster {cluster}: {shown(word)} ({100 * share:.0f} %)")
        console.print(f"Suggestions  {shown(folder.names)} (confirm them in the column name)")
        return
    if options.export is not None:
        from collapse_lit.discover.exports import export
        from collapse_lit.discover.folder import DiscoveryFolder

        for path in export(DiscoveryFolder(options.out), options.export):
            console.print(f"Exported  {shown(path)}")
        return
    if options.names is None:
        _discover(source, options, console)
        return
    from collapse_lit.discover.folder import DiscoveryFolder
    from collapse_lit.discover.naming import fit_names

    folder = DiscoveryFolder(options.out)
    fitted = fit_names(folder, options.names)
    console.print(
        f"Fitted a probe of {len(fitted.probe.names)} names on {fitted.samples} samples; it "
        f"predicts the name of their cluster for {100 * fitted.agreement:.1f} % of them."
    )
    if fitted.unnamed:
        left_out = ", ".join(str(cluster) for cluster in fitted.unnamed)
        console.print(f"Skipped clusters without a name: {left_out}")
    console.print(f"Probe    {shown(folder.probe)}")


def run_predict(arguments: Sequence[str]) -> None:
    """Predict the names of new samples.

    Raises:
        UserError: The probe, the input or the output file cannot be used.
    """
    options = predict_parser().parse_args(arguments)
    from collapse_lit.discover.inputs import load_unlabelled
    from collapse_lit.discover.naming import load_probe, write_predictions
    from collapse_lit.discover.terminal import make_console, shown
    from collapse_lit.tracking.whole_files import is_stream

    if options.out.is_dir():
        raise UserError(f"--out {options.out}: this is a folder; give a file such as p.csv")
    probe = load_probe(options.probe)
    features, paths = load_unlabelled(_source(options))
    counts = write_predictions(options.out, probe, features, paths)
    console = make_console(error=is_stream(options.out))
    for name, count in zip(probe.names, counts, strict=True):
        console.print(f"{count:8,}  {shown(name)}")
    console.print(f"Predictions  {shown(options.out)}")


def _source(options: argparse.Namespace) -> Input:
    source = Input(**{field.name: getattr(options, field.name, None) for field in fields(Input)})
    for name in ("mean", "std"):
        values = getattr(source, name)
        if values is not None and len(values) not in (1, 3):
            raise UserError(f"--{name}: got {len(values)} numbers; give one, or three for R G B")
    return source


def _discover(source: Input, options: argparse.Namespace, console: Console) -> None:
    """Read, find, compare, write."""
    source.check()
    from collapse_lit.discover.discovery import discover
    from collapse_lit.discover.folder import DiscoveryFolder
    from collapse_lit.discover.inputs import load_samples
    from collapse_lit.discover.terminal import print_discovery, shown
    from collapse_lit.discover.wanted import clusters_asked, spaces_wanted
    from collapse_lit.discover.writing import write_discovery

    k = clusters_asked(options.k)
    spaces_wanted(options.space, estimate=k == "auto")
    folder, names = DiscoveryFolder(options.out), {}
    folder.claim()
    asked = {"k": k, "space": options.space, "seed": options.seed}
    if source.within is not None:
        from collapse_lit.discover.within import clusters_within, names_kept

        k = clusters_within(source.within, source.cluster or (), k)
        names = names_kept(source.within)
    samples = load_samples(source)
    found = discover(samples, k, options.seed, options.space)
    print_discovery(write_discovery(folder, samples, found, asked, names), console)
    for title, path, hint in (
        ("Report", folder.report, ""),
        ("Clusters", folder.clusters, ""),
        ("Names", folder.names, " (fill in names, then pass it to --names)"),
    ):
        console.print(f"{title:10}{shown(path)}{hint}")
