"""The handwritten digits inside scikit-learn: no download."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from collapse_lit.data.labelled import LabelledImages, Split

DIGITS = tuple(str(digit) for digit in range(10))


def load_handwritten_digits() -> LabelledImages:
    """The 1,797 handwritten digits in scikit-learn, 8×8 pixels: 1,297 for training, 500 for
    testing.
    """
    digits = load_digits()
    images = torch.from_numpy(digits.images)[:, None]  # (1797, 1, 8, 8), values 0…16
    images = (images * 255 / 16).round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).long()
    train, test = train_test_split(
        torch.arange(len(labels)).numpy(), test_size=500, stratify=labels.numpy(), random_state=0
    )
    return LabelledImages(
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        fine_names=DIGITS,
    )
