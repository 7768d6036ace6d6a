"""Keep images on a device if they fit there; otherwise read their batches ahead."""

import os
from dataclasses import replace

import torch
from lightning.pytorch.utilities import rank_zero_info

from collapse_lit.data.labelled import LabelledImages, Split
from collapse_lit.errors import UserError


def placed(data: LabelledImages, device: torch.device) -> tuple[Split, Split]:
    """Training and test set: on the device if both fit, otherwise where they are, in memory or in a
    memory-mapped file.
    """
    size, room = data.train.images.nbytes + data.test.images.nbytes, room_on(device)
    if size <= room:
        train, test = (
            replace(split, images=split.images.to(device)) for split in (data.train, data.test)
        )
        return train, test
    rank_zero_info(
        f"The images take {_gigabytes(size)}, and at most {_gigabytes(room)} of {device} is used "
        "for images: threads read the batches ahead"
    )
    return replace(data.train, ahead=True), replace(data.test, ahead=True)


def room_on(device: torch.device) -> int:
    """Bytes of images to keep: a quarter of a GPU's memory, or half of the machine's.

    Other devices share the machine's memory; 4 GiB of it are used.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // 4
    if device.type == "cpu":
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * 1024**3


def check_copy(split: Split) -> None:
    """Check that the images fit into memory, before they are copied into it.

    Raises:
        UserError: they do not fit.
    """
    size, room = split.images.nbytes, room_on(torch.device("cpu"))
    if size > room:
        raise UserError(
            f"data.validation copies the training images into memory, but {_gigabytes(size)} are "
            f"more than half of it ({_gigabytes(room)}): move images to a folder of their own "
            "instead"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
