"""The folder of a discovery, which holds the complete files of one discovery or none."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collapse_lit.discover.csv_files import read_csv
from collapse_lit.errors import UserError

NEEDED = {"classes", "samples", "features", "assignment"}  # keys of a summary


class DiscoveryFolder:
    """Paths of the files of a discovery, under names that users rely on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clusters = path / "clusters.csv"
        self.summary = path / "clusters.json"
        self.report = path / "report.html"
        self.names = path / "names.csv"
        self.features = path / "features.npy"
        self.probe = path / "probe.npz"
        self.parquet = path / "clusters.parquet"
        self.fiftyone = tuple(path / "fiftyone" / name for name in ("data.json", "labels.json"))
        self.projector = tuple(
            path / "projector" / name
            for name in ("features.bytes", "metadata.tsv", "sprite.png", "projector_config.pbtxt")
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that a discovery may write. The summary is last, because it marks a complete
        discovery.
        """
        return (
            *(self.clusters, self.report, self.names, self.features, self.probe),
            *(self.parquet, *self.projector, *self.fiftyone),
            self.summary,
        )

    def claim(self) -> None:
        """Make the folder and check that it is writable, before any computation.

        Raises:
            UserError: The folder cannot be written to, or it contains names that would be lost.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            trial = self.path / f".writable-{os.getpid()}"
            trial.touch()
            trial.unlink()
        except OSError as error:
            raise UserError(
                f"--out {self.path}: cannot write there ({error.strerror}); choose another folder"
            ) from error
        for file in self.files:
            if file.exists() and not file.is_file():
                raise UserError(
                    f"--out {self.path}: {file} exists and is not a file; remove it or choose "
                    "another "
                    "folder"
                )
        if self.names.exists() and any(n.strip() for n in read_csv(self.names, ("name",))["name"]):
            raise UserError(
                f"{self.names} contains names, which do not fit new clusters; move it away, or "
                "choose another --out"
            )

    def replace(self, contents: Mapping[Path, bytes]) -> None:
        """Replace the files of an earlier discovery.

        All files are first written under temporary names. A full disk leaves the old files in
        place. A kill leaves a folder without a summary, which holds no discovery.

        Raises:
            UserError: The files cannot be written; the old files are still there.
        """
        ready: list[tuple[Path, Path]] = []
        try:
            for file in self.files:
                if file in contents:
                    place = file.resolve() if file.is_symlink() else file
                    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
                    ready.append((partial, place))
                    _write(partial, contents[file])
            self.summary.unlink(missing_ok=True)
            for file in self.files:
                if file not in contents:
                    file.unlink(missing_ok=True)
            for partial, place in ready:
                partial.replace(place)
        except OSError as error:
            raise UserError(
                f"--out {self.path}: cannot write {error.filename or 'there'} ({error.strerror})"
            ) from error
        finally:
            for partial, _ in ready:
                partial.unlink(missing_ok=True)

    def read_summary(self) -> dict[str, Any]:
        """Read ``clusters.json``.

        Raises:
            UserError: The file is missing or broken.
        """
        try:
            summary = json.loads(self.summary.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(
                f"--out {self.path}: there is no {self.summary.name} in it; run discover without "
                "--names first"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(f"{self.summary}: it is not valid JSON ({error})") from error
        if not isinstance(summary, dict) or not summary.keys() >= NEEDED:
            raise UserError(
                f"{self.summary}: it is not a discovery, or it is from another version; run "
                "discover again"
            )
        return summary


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
