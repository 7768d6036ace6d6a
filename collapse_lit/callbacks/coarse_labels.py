"""The measured classes: those that occur in the training set, of all classes of the head."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse_lit.errors import UserError
from collapse_lit.features import Features
from collapse_lit.measure.distributed import Group, max_over_ranks


@dataclass(frozen=True)
class Classes:
    """The measured labels, numbered from 0 without gaps.

    Attributes:
        labels: (C,) int64, sorted: the labels that occur in the training set on any rank. Without a
            training set, the labels of the only split.
        known: Number of labels, measured or not.
    """

    labels: Tensor
    known: int

    @staticmethod
    def of(splits: Mapping[str, Features], group: Group) -> "Classes":
        """The classes of the training set, or of the first split without one."""
        outputs = max((one.last.outputs or 0 for one in splits.values()), default=0)
        largest = torch.stack(
            [
                one.coarse.max() if len(one.coarse) else one.coarse.new_tensor(-1)
                for one in splits.values()
            ]
        ).max()
        known = int(max_over_ranks(largest.reshape(1), group)) + 1
        known = max(known, outputs, 2)
        train = splits.get("train", next(iter(splits.values())))
        return Classes(_present(train.coarse, known, group), known)

    @property
    def count(self) -> int:
        """C, the number of measured classes."""
        return len(self.labels)

    def numbered(self, coarse: Tensor) -> Tensor:
        """(n,) int64: the class number of each label, -1 if the label is not measured."""
        numbers = torch.full((self.known,), -1, device=coarse.device)
        numbers[self.labels.to(coarse.device)] = torch.arange(self.count, device=coarse.device)
        return numbers[coarse]

    def only(self, split: str, features: Features, group: Group) -> Features:
        """The split with its labels numbered.

        Raises:
            ValueError: The split and the training set do not have the same classes.
        """
        there = _present(features.coarse, self.known, group).tolist()
        mine = self.labels.tolist()
        lacking = [label for label in mine if label not in there]
        beyond = [label for label in there if label not in mine]
        if lacking:
            raise ValueError(f"no samples of class {', '.join(map(str, lacking))}")
        if beyond:
            raise ValueError(f"class {', '.join(map(str, beyond))} is not in the training data")
        if self.count < 2:
            raise ValueError(
                f"all samples belong to one class ({mine[0] if mine else 'none'}); two are needed"
            )
        return dataclasses.replace(features, coarse=self.numbered(features.coarse))

    def pick(self, of_each: list[int | None]) -> list[int | None]:
        """The entries of the measured classes, from a list with one entry per class.

        Raises:
            UserError: The list does not have one entry per class.
        """
        if len(of_each) == self.count:
            return of_each
        if len(of_each) == self.known:
            return [of_each[label] for label in self.labels.tolist()]
        raise UserError(f"recovery.k: {len(of_each)} numbers given for {self.count} coarse classes")

    def rows(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Weight (C, d) and bias (C,) of the measured classes.

        A single output w h + b, whose sign decides between two classes, becomes two opposite rows.

        Raises:
            ValueError: The head has fewer outputs than there are labels.
        """
        if len(weight) == 1 and self.known == 2:
            weight = torch.cat([-weight, weight]) / 2
            bias = None if bias is None else torch.cat([-bias, bias]) / 2
        if len(weight) < self.known:
            raise ValueError(
                f"the labels go up to {self.known - 1}, but the head has {len(weight)} outputs"
            )
        kept = self.labels.to(weight.device)
        return weight[kept], None if bias is None else bias[kept]


def check_labels(splits: Mapping[str, Features]) -> None:
    """Check that the last layer has an output for every label.

    Raises:
        UserError: A label is too large.
    """
    for split, features in splits.items():
        outputs = features.last.outputs
        if outputs is None:
            continue
        largest = int(features.coarse.max()) if len(features.coarse) else -1
        if largest >= max(outputs, 2):
            raise UserError(
                f"the {split} data have the label {largest}, but the layer has {outputs} outputs; "
                "give samples to skip a negative label"
            )


def _present(coarse: Tensor, known: int, group: Group) -> Tensor:
    """(C,) int64 labels that occur on any rank, on the CPU."""
    there = (torch.bincount(coarse, minlength=known) > 0).long()
    return max_over_ranks(there, group).nonzero().flatten().cpu()
