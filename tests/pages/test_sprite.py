import base64
import io

import numpy as np
from PIL import Image

from collapse_lit.pages import Sprite, make_sprite
from collapse_lit.pages.sprite import LARGEST


def sheet_of(sprite: Sprite) -> Image.Image:
    uri = sprite.for_page["uri"]
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,"))))


def test_small_pictures_are_kept_to_the_pixel_each_at_its_place() -> None:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(5)]
    sprite = make_sprite([30, 10, 20, 7, 9], map(Image.fromarray, pixels))
    assert sprite is not None
    assert (sprite.side, sprite.columns) == (8, 3)
    assert sprite.tiles([9, 30, 8]) == [4, 0, -1]
    sheet = np.asarray(sheet_of(sprite).convert("RGB"))
    assert sheet.shape == (16, 24, 3)
    assert np.array_equal(sheet[8:16, 8:16], pixels[4])
    again = Sprite.from_arrays({key: np.array(array) for key, array in sprite.arrays.items()})
    assert again.webp == sprite.webp
    assert again.tiles([20]) == [2]


def test_large_pictures_become_small_squares() -> None:
    sprite = make_sprite([0, 1], [Image.new("RGB", (640, 200)), Image.new("L", (20, 20))])
    assert sprite is not None
    assert sprite.side == LARGEST
    assert sheet_of(sprite).size == (2 * LARGEST, LARGEST)


def test_samples_without_a_picture_have_no_tile() -> None:
    sprite = make_sprite([5, 6, 7], [None, Image.new("RGB", (4, 4)), None])
    assert sprite is not None
    assert sprite.tiles([5, 6, 7]) == [-1, 0, -1]
    assert make_sprite([5], [None]) is None
    assert make_sprite([], []) is None
