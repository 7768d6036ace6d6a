import os
from pathlib import Path

import pytest

from collapse_lit.tracking.whole_files import write_whole


def test_what_leads_elsewhere_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"

    reading, writing = os.pipe()
    write_whole(Path(f"/dev/fd/{writing}"), b"piped")  # as /dev/stdout is
    assert os.read(reading, 99) == b"piped"
    os.close(reading)
    os.close(writing)
    with (tmp_path / "redirected").open("wb") as file:
        write_whole(Path(f"/dev/fd/{file.fileno()}"), b"kept")
        assert os.fstat(file.fileno()).st_size == 4  # the same file, not another of its name
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        write_whole(tmp_path, b"x")
