"""A classifier that knows even from odd, and its images: something to look for sub-classes in.

Nothing here is collapse-lit's: images in folders, a torchvision network and its weights in a file,
as anybody has them. docs/discover.md finds the digits in it.

    python examples/even_odd.py    # into runs/even_odd
"""

import csv
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18

TAUGHT = 1400  # digits to train on; the rest are new to everybody


def write_images(out: Path) -> None:
    """``photos/even``, ``photos/odd`` and ``new``; which digit is which goes into two tables."""
    data = load_digits()
    tables: dict[str, list[tuple[str, ...]]] = {"labels.csv": [], "truth.csv": []}
    for row, (pixels, digit) in enumerate(zip(data.images, data.target.tolist(), strict=True)):
        label = "odd" if digit % 2 else "even"
        folder, table = (f"photos/{label}", "labels.csv") if row < TAUGHT else ("new", "truth.csv")
        (out / folder).mkdir(parents=True, exist_ok=True)
        path = out / folder / f"{row:04d}.png"
        Image.fromarray((pixels * 255 / 16).astype("uint8")).resize((32, 32)).save(path)
        tables[table].append((str(path), label, str(digit)))
    for name, rows in tables.items():
        with (out / name).open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label", "fine"), *sorted(rows)])


def main(out: Path = Path("runs/even_odd"), epochs: int = 10) -> float:
    """Write the images, train on the two labels alone, and return the training accuracy."""
    write_images(out)
    as_trained = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
    )
    photos = ImageFolder(str(out / "photos"), as_trained)
    torch.manual_seed(0)
    model = resnet18(num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    for epoch in range(epochs):
        right = 0
        for images, labels in DataLoader(photos, batch_size=50, shuffle=True):
            logits = model(images)
            optimizer.zero_grad()
            F.cross_entropy(logits, labels).backward()
            optimizer.step()
            right += int((logits.argmax(dim=1) == labels).sum())
        print(f"epoch {epoch}: training accuracy {right / len(photos):.3f}")
    torch.save(model.state_dict(), out / "model.pt")
    return right / len(photos)


if __name__ == "__main__":
    main()
