import pytest
import torch

from collapse_lit.errors import UserError
from collapse_lit.hierarchy import CIFAR100_SUPERCLASSES, make_hierarchy, split_classes

ANIMALS = ("ant", "bee", "cat", "dog", "elk")

# The coarse label of each fine label, as stored in CIFAR-100's own files.
CIFAR100_COARSE = [
    *(4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11),
    *(6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5),
    *(5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17),
    *(10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13),
    *(16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13),
]


@pytest.mark.parametrize(
    ("rule", "fine_to_coarse", "coarse_names"),
    [
        ("mod", [0, 1, 0, 1, 0], ("ant+cat+elk", "bee+dog")),
        ("adjacent", [0, 0, 0, 1, 1], ("ant+bee+cat", "dog+elk")),
        ("identity", [0, 1, 2, 3, 4], ANIMALS),
    ],
)
def test_rules(rule, fine_to_coarse, coarse_names):
    hierarchy = make_hierarchy(ANIMALS, rule, num_coarse=2)
    assert hierarchy.fine_to_coarse.tolist() == fine_to_coarse
    assert hierarchy.coarse_names == coarse_names
    assert hierarchy.num_fine == 5
    assert hierarchy.num_coarse == len(coarse_names)
    assert hierarchy.fine_per_coarse == tuple(fine_to_coarse.count(c) for c in set(fine_to_coarse))


def test_random_groups_are_balanced_and_follow_the_seed():
    names = [str(i) for i in range(10)]
    groups = [
        make_hierarchy(names, "random", 4, seed).fine_to_coarse.tolist() for seed in (0, 0, 1)
    ]
    assert groups[0] == groups[1] != groups[2]
    assert make_hierarchy(names, "random", 4).fine_per_coarse == (3, 3, 2, 2)


def test_coarse_labels_of_fine_labels():
    hierarchy = make_hierarchy(ANIMALS, "mod", 2)
    assert hierarchy.coarse(torch.tensor([[4, 3], [1, 0]])).tolist() == [[0, 1], [1, 0]]


def test_cifar100_superclasses_are_its_own():
    names = sorted(name for members in CIFAR100_SUPERCLASSES.values() for name in members.split())
    hierarchy = make_hierarchy(names, "cifar100")
    assert hierarchy.fine_to_coarse.tolist() == CIFAR100_COARSE
    assert hierarchy.coarse_names[CIFAR100_COARSE[0]] == "fruit_and_vegetables"  # apple


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("map.yaml", "small: [ant, bee]\nlarge: [cat, dog, elk]\n"),
        ("map.csv", "fine,coarse\nant,small\ncat,large\nbee,small\ndog,large\nelk,large\n"),
    ],
)
def test_groups_from_dict_and_files(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    from_file = make_hierarchy(ANIMALS, str(tmp_path / file))
    from_dict = make_hierarchy(ANIMALS, {"small": ["ant", "bee"], "large": ["cat", "dog", "elk"]})
    assert from_file.fine_to_coarse.tolist() == from_dict.fine_to_coarse.tolist() == [0, 0, 1, 1, 1]
    assert from_file.coarse_names == from_dict.coarse_names == ("small", "large")


def test_classes_named_by_numbers_may_be_written_as_numbers():
    hierarchy = make_hierarchy(("0", "1", "2"), {"even": [0, 2], "odd": [1]})
    assert hierarchy.fine_to_coarse.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("coarse", "message"),
    [
        ({"a": ["ant", "bee"], "b": ["cat", "dog"]}, "these classes are in no coarse class: elk"),
        ({"a": ["ant", "bee", "cat"], "b": ["cat", "dog", "elk"]}, "'cat' is listed twice"),
        ({"a": ["ant", "bees"], "b": ["cat", "dog", "elk"]}, "did you mean 'bee'"),
        ({"a": [], "b": list(ANIMALS)}, "'a' must list at least one"),
        ({"a": "ant", "b": list(ANIMALS[1:])}, "'a' must list at least one"),
        ({"a": list(ANIMALS)}, "at least two coarse classes"),
        ("modd", "did you mean 'mod'"),
        ("parents", "set data.split to 2 or more"),
        ("cifar100", "this data set has 5 classes: ant"),
        ("missing.yaml", "cannot read missing.yaml"),
    ],
)
def test_wrong_groups_are_named(coarse, message):
    with pytest.raises(UserError, match=message) as error:
        make_hierarchy(ANIMALS, coarse, num_coarse=2)
    assert "data.coarse" in str(error.value)


def test_one_class_is_not_enough():
    with pytest.raises(UserError, match="at least two classes are needed, got 1"):
        make_hierarchy(("ant",), "identity")


@pytest.mark.parametrize("num_coarse", [1, 6])
def test_impossible_number_of_coarse_classes(num_coarse):
    with pytest.raises(UserError, match=r"data\.num_coarse=.*a number from 2 to 5"):
        make_hierarchy(ANIMALS, "mod", num_coarse)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("map.yaml", "a: [ant\n", "not valid YAML"),
        ("map.yaml", "- ant\n", "must be a mapping"),
        (
            "map.csv",
            "class,group\nant,small\n",
            "must have the columns fine,coarse without empty cells",
        ),
        ("map.csv", "fine,coarse\nant,small\nbee\n", "must have the columns fine,coarse"),
    ],
)
def test_unreadable_files_are_named(tmp_path, file, text, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match=message) as error:
        make_hierarchy(ANIMALS, tmp_path / file)
    assert str(tmp_path / file) in str(error.value)


def test_split_classes_evenly_at_random():
    labels = torch.tensor([0] * 7 + [1] * 4)
    fine, names, parents = split_classes(labels, ("ant", "bee"), n=2, seed=0)
    assert names == ("ant/0", "ant/1", "bee/0", "bee/1")
    assert fine.bincount().tolist() == [4, 3, 2, 2]
    assert parents[fine].tolist() == labels.tolist()
    assert fine.equal(split_classes(labels, ("ant", "bee"), n=2, seed=0)[0])
    assert not fine.equal(split_classes(labels, ("ant", "bee"), n=2, seed=1)[0])

    hierarchy = make_hierarchy(names, "parents", parents=parents)
    assert hierarchy.coarse_names == ("ant", "bee")
    assert hierarchy.coarse(fine).equal(labels)


def test_split_needs_enough_images():
    with pytest.raises(UserError, match=r"data\.split=3: class 'bee' has only 2"):
        split_classes(torch.tensor([0, 0, 0, 1, 1]), ("ant", "bee"), n=3)
