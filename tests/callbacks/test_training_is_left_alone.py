"""Training with monitors gives bit-identical weights to training without them."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from anyones import Net, clean, fit, tensors, training_data
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")
X, COARSE, _ = tensors()
SAMPLES = TensorDataset(X, COARSE)


class Remembering(Sampler):
    """Draws by a generator of its own, and otherwise at each time."""

    def __init__(self) -> None:
        self.rng, self.times = np.random.default_rng(0), 0

    def __iter__(self):
        self.times += 1
        return iter(np.roll(self.rng.permutation(80), self.times).tolist())

    def __len__(self) -> int:
        return 80


class RandomBatches(Sampler):
    def __init__(self) -> None:
        self.random = random.Random(0)

    def __iter__(self):
        yield from (self.random.sample(range(80), 16) for _ in range(5))

    def __len__(self) -> int:
        return 5


class Augmenting(Dataset):
    """Adds noise from the global generator of torch and from one of its own."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return 80

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return X[index] + torch.randn(4) + float(self.rng.normal()), COARSE[index]


class OwnLoader(DataLoader):
    def __iter__(self):
        yield from super().__iter__()


class Dropping(Net):
    """Dropout, BatchNorm and a weight that is normalised by iterations of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.utils.parametrizations.spectral_norm(self.head)
        self.body = nn.Sequential(self.body, nn.BatchNorm1d(6), nn.Dropout(0.5))


class Merging(nn.Linear):
    """Merges its weights when it is evaluated and takes them apart when it is trained."""

    def train(self, mode: bool = True) -> "Merging":
        if mode != self.training:
            self.weight.data *= 0.5 if mode else 2.0
        return super().train(mode)


def seeded(loader: type[DataLoader]) -> DataLoader:
    generator = torch.Generator().manual_seed(4)
    return loader(SAMPLES, batch_size=16, shuffle=True, generator=generator)


@pytest.mark.parametrize(
    "data",
    [
        training_data,
        lambda: DataLoader(SAMPLES, batch_size=16, sampler=Remembering()),
        lambda: DataLoader(SAMPLES, batch_sampler=RandomBatches()),
        lambda: DataLoader(Augmenting(), batch_size=16, shuffle=True),
        lambda: DataLoader(Augmenting(), batch_size=16, num_workers=1, persistent_workers=True),
        lambda: seeded(DataLoader),
        lambda: seeded(OwnLoader),
    ],
)
def test_by_any_loader(data: Callable[[], Any]) -> None:
    ends = []
    for callbacks in ([], [CollapseMonitor(), RecoveryMonitor(k=2)]):
        torch.manual_seed(1)
        random.seed(1)
        net = Dropping()
        fit(callbacks, data(), net=net, max_epochs=3)
        ends.append(net.state_dict())
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_by_layers_that_do_more_in_train_than_note_the_mode() -> None:
    ends = []
    for callbacks in ([], [CollapseMonitor(loaders=clean)]):
        torch.manual_seed(1)
        net = Net()
        net.body = Merging(4, 6)
        fit(callbacks, net=net, max_epochs=3)
        ends.append(net.state_dict())
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())
