"""The data module: fine labels stop here; training sees only coarse labels."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from collapse_lit.data.gaussian import GaussianMixture
from collapse_lit.data.labelled import LabelledImages, Split, hold_out
from collapse_lit.data.loader import CleanLoader, EpochSampler, TrainLoader
from collapse_lit.data.room import check_copy, placed
from collapse_lit.data.sources import SourceOptions, find_source, load_source
from collapse_lit.data.transforms import augmentation_of, channel_statistics, normaliser
from collapse_lit.errors import UserError
from collapse_lit.hierarchy import Hierarchy, make_hierarchy, split_classes, split_names


class CoarseDataModule(LightningDataModule):
    """Images with coarse labels for training and fine labels for measuring.

    Args:
        source: data set: ``digits`` (inside scikit-learn, no download); ``CIFAR10``, ``CIFAR100``,
            ``MNIST``, ``FashionMNIST`` or ``SVHN`` (torchvision's, downloaded once);
            ``imagefolder`` (your own: root/train/CLASS/*.jpg and root/test/CLASS/*.jpg);
            ``gaussian`` (a planted mixture of vectors); or your own function as
            ``package.function``, which takes ``root`` and returns
            :class:`collapse_lit.data.LabelledImages`.
        root: folder of the data files; not used by ``digits`` and ``gaussian``.
        image_size: for ``imagefolder``: resize and centre-crop to this many pixels per side. Not
            needed if all images have the same size.
        coarse: how fine classes are merged into coarse classes: ``mod`` (class i mod num_coarse),
            ``adjacent`` (blocks), ``random``, ``identity`` (not merged: ordinary training),
            ``cifar100`` (its own 20 superclasses), ``parents`` (the original classes, when
            ``split`` is used), a mapping {coarse name: [fine names]}, or a .yaml file with such a
            mapping or a .csv file with columns fine,coarse.
        num_coarse: number of coarse classes for ``mod``, ``adjacent`` and ``random``.
        split: first split each class at random into this many fine classes. With ``coarse:
            parents`` the fine classes are random, so nothing can be recovered: a null model. With
            ``coarse: identity`` the network is trained on these random fine labels.
        shuffle_coarse: permute the coarse labels at random over the training images during
            training. This is a control: the recovery then owes nothing to the labels. Measurements
            use the true labels.
        validation: number of training images held out at random. They replace the test set, which
            stays unused. Choose recipe, epoch and views on them.
        batch_size: images per training batch on each device.
        augment: ``none``, ``crop`` (shift by up to an eighth of the image), ``crop+flip`` (also
            mirror left to right; not for digits), ``crop+flip+cutout`` (also cover a square of a
            quarter of the side with grey; for runs long enough to memorise images),
            ``resized_crop`` (enlarge a random box of 8 to 100 % of the image, as is usual for
            ImageNet) or ``resized_crop+flip``.
        gaussian: mixture drawn by the source ``gaussian``.
        seed: seed of the order, augmentation, random groups, random splits and mixture.
    """

    def __init__(
        self,
        source: str = "digits",
        root: str | Path = "data",
        image_size: int | None = None,
        coarse: str | dict[str, list[Any]] = "mod",
        num_coarse: int = 5,
        split: int = 1,
        shuffle_coarse: bool = False,
        batch_size: int = 128,
        augment: Literal[
            "none", "crop", "crop+flip", "crop+flip+cutout", "resized_crop", "resized_crop+flip"
        ] = "none",
        gaussian: GaussianMixture | None = None,
        validation: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for key, value, least in (
            ("batch_size", batch_size, 2),
            ("split", split, 1),
            ("validation", validation, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise UserError(f"data.{key}={value}: must be at least {least}")
        self.source, self.root, self.image_size = source, Path(root), image_size
        self.coarse_rule, self.num_coarse_asked, self.split = coarse, num_coarse, split
        self.shuffle_coarse = shuffle_coarse
        self.batch_size, self.augment = batch_size, augment
        self.validation, self.seed = validation, seed
        self._options = SourceOptions(
            *(self.root, image_size, gaussian or GaussianMixture(), num_coarse, seed),
            check=rank_zero_only.rank == 0,  # type: ignore[attr-defined]
        )
        self.rows: dict[str, Tensor] = {}  # rows of the training set by split, if some are held out
        self._placed: tuple[torch.device, tuple[Split, Split]] | None = None

    @property
    def labelled(self) -> LabelledImages:
        """Training and test set with fine labels, after random splitting."""
        return self._loaded[0]

    @property
    def hierarchy(self) -> Hierarchy:
        """The map from fine to coarse classes."""
        return self._loaded[1]

    @property
    def num_coarse(self) -> int:
        """Number of coarse classes, which is the number of the classifier's outputs."""
        return self.hierarchy.num_coarse

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one input: (C, H, W), or (d,) for vectors."""
        return tuple(self.labelled.train.images.shape[1:])

    def setup(self, stage: str) -> None:
        """Load the data before training starts, to find mistakes early.

        Raises:
            UserError: the images changed while the ranks started.
        """
        _ = self.hierarchy
        if self.trainer is not None:
            self._agree(self.trainer.strategy)

    def sample_images(self, n: int) -> Tensor:
        """Up to n clean, normalised training images (n, C, H, W), evenly spaced, on the CPU.

        They are the same on every rank and carry no label. Layers use them to initialise from
        statistics.
        """
        images = self.labelled.train.images
        some = images[:: max(len(images) // n, 1)][:n]
        return normaliser(self._statistics, self.image_shape, torch.device("cpu"))(some)

    def train_dataloader(self) -> TrainLoader:
        """Augmented batches ``(images, coarse)`` without fine labels."""
        rank, world_size, device = self._place()
        train, _ = self._on(device)
        n = len(train.labels)
        if n < 2 * world_size:
            raise UserError(f"data.root: {n} training images are too few for {world_size} devices")
        return TrainLoader(
            images=train.images,
            coarse=self._taught(train.labels),
            device=device,
            batch_size=self.batch_size,
            sampler=EpochSampler(n, self.seed, rank, world_size),
            augmentation=augmentation_of(self.augment, self.image_shape),
            normalise=normaliser(self._statistics, self.image_shape, device),
            ahead=train.ahead,
        )

    def clean_dataloaders(self) -> dict[str, CleanLoader]:
        """Clean batches ``(images, coarse, fine, index)`` of the sets "train" and "test"."""
        rank, world_size, device = self._place()
        normalise = normaliser(self._statistics, self.image_shape, device)
        return {
            name: CleanLoader(split, self.hierarchy, device, normalise, rank, world_size)
            for name, split in zip(("train", "test"), self._on(device), strict=True)
        }

    def _taught(self, fine: Tensor) -> Tensor:
        """The coarse labels (N,) for training, the same on every rank."""
        coarse = self.hierarchy.coarse(fine)
        if not self.shuffle_coarse:
            return coarse
        order = torch.randperm(len(coarse), generator=torch.Generator().manual_seed(self.seed))
        return coarse[order.to(coarse.device)]

    @cached_property
    def _loaded(self) -> tuple[LabelledImages, Hierarchy]:
        known = find_source(self.source).names(self._options)
        if known is not None:  # find mistakes in the label map before decoding images
            self._group(known)
        data = load_source(self.source, self._options)
        if self.validation:
            check_copy(data.train)
            data, self.rows = hold_out(data, self.validation, self.seed)
        hierarchy = self._group(data.fine_names)
        if self.split > 1:
            args = (data.fine_names, self.split)
            train, names, _ = split_classes(data.train.labels, *args, seed=self.seed)
            test, _, _ = split_classes(data.test.labels, *args, seed=self.seed + 1)
            data = replace(
                data,
                train=replace(data.train, labels=train),
                test=replace(data.test, labels=test),
                fine_names=names,
            )
        return data, hierarchy

    def _group(self, names: tuple[str, ...]) -> Hierarchy:
        """The hierarchy over classes with these names, after random splitting."""
        parents = None
        if self.split > 1:
            names, parents = split_names(names, self.split)
        return make_hierarchy(names, self.coarse_rule, self.num_coarse_asked, self.seed, parents)

    def _agree(self, strategy: Strategy) -> None:
        """Look for changed files as the first rank did, if it found other files than this rank.

        This happens if ranks start at once, after the files have changed.
        """
        digest, before = strategy.broadcast(self.labelled.digest), self.labelled
        if digest != before.digest:
            self._options = replace(self._options, check=True)
            del self.__dict__["_loaded"]
            self.__dict__.pop("_statistics", None)
        now = self.labelled
        same = (now.digest, now.fine_names) == (digest, before.fine_names)
        same &= now.train.images.shape[1:] == before.train.images.shape[1:]
        if not strategy.reduce_boolean_decision(same):
            raise UserError(
                f"data.root={self.root}: the images changed while the ranks started; run the same "
                "command again"
            )

    def _place(self) -> tuple[int, int, torch.device]:
        """Rank, world size and device of this process."""
        if self.trainer is None:
            return 0, 1, torch.device("cpu")
        return (
            self.trainer.global_rank,
            self.trainer.world_size,
            self.trainer.strategy.root_device,
        )

    def _on(self, device: torch.device) -> tuple[Split, Split]:
        """Training and test set, shared by all loaders; images are on the device if they fit."""
        if self._placed is None or self._placed[0] != device:
            self._placed = (device, placed(self.labelled, device))
        return self._placed[1]

    @cached_property
    def _statistics(self) -> tuple[Tensor, Tensor] | None:
        images = self.labelled.train.images
        if self.labelled.statistics is not None:
            return self.labelled.statistics
        return channel_statistics(images) if images.dtype == torch.uint8 else None
