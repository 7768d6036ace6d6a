"""Read a picture of any format as RGB with 8 bits per channel."""

from pathlib import Path

import numpy as np
from PIL import Image

SIXTEEN_BITS = 65535


def open_picture(path: Path, draft: int | None = None) -> Image.Image:
    """Read a picture as RGB.

    Grey pictures of 16 bits are scaled from 0…65535. Floating-point and 32-bit pictures use the
    smallest scale that contains their values: 0…1 (floating point only), 0…255 or 0…65535. Nothing
    is clipped.

    Args:
        path: the file.
        draft: side in pixels that is enough; large JPEGs are then decoded at a smaller size.

    Raises:
        ValueError: the values fit none of these scales.
        Exception: any error of Pillow for a broken file.
    """
    with Image.open(path) as image:
        if draft is not None:
            image.draft("RGB", (draft, draft))
        if image.mode.startswith("I;16"):
            return _grey(np.asarray(image).astype(np.float64) / SIXTEEN_BITS)
        if image.mode in ("I", "F"):
            return _grey(_to_unit(np.asarray(image), image.format))
        if image.mode == "P" and "transparency" in image.info:
            return image.convert("RGBA").convert("RGB")  # Pillow warns about the direct conversion
        return image.convert("RGB")


def _to_unit(values: np.ndarray, file_format: str | None) -> np.ndarray:
    """Rescale the values to 0…1."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("some pixels are NaN or infinite")
    scales = [255.0, float(SIXTEEN_BITS)]
    if values.dtype.kind == "f":
        scales.insert(0, 1.0)
    elif file_format in ("PNG", "PPM"):  # 16 bits that Pillow reads as 32
        scales = [float(SIXTEEN_BITS)]
    fitting = [scale for scale in scales if high <= scale]
    if low < 0 or not fitting:
        raise ValueError(
            f"its pixels range from {low:g} to {high:g}; save them on the scale 0…255 or 0…65535"
        )
    return values / fitting[0]


def _grey(unit: np.ndarray) -> Image.Image:
    """A grey picture of (H, W) values on the scale 0…1."""
    return Image.fromarray(np.rint(unit * 255).astype(np.uint8)).convert("RGB")
