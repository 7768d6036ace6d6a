"""Suggested names by a CLIP-like model on disk."""

import csv
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from collapse_lit.cli import main
from collapse_lit.discover import suggestions
from collapse_lit.discover.networks import available_device

COLOURS = {"tabby": "red", "siamese": "lime", "dog": "blue"}


@pytest.fixture
def found(planted) -> Path:
    for name, colour in COLOURS.items():
        Image.new("RGB", (20, 20), colour).save(planted.folder / f"{name}.png")
    planted.write(path=[str(planted.folder / f"{name}.png") for name in planted.fine])
    (planted.folder / "words.txt").write_text("green\n\nblue\nred\nred\n")
    out = planted.folder / "found"
    assert main(["discover", *planted.files, "--k", "{cat: 2, dog: 1}", "--out", str(out)]) == 0
    return out


class Given(dict):
    def to(self, device):
        return Given({key: value.to(device) for key, value in self.items()})


class Eye:
    """A model whose space is the three colours, for images and for words."""

    logit_scale, device = torch.tensor(4.0), available_device()

    def __call__(self, text=None, images=None, **_):
        if text is not None:
            words = ("a photo of a red", "a photo of a green", "a photo of a blue")
            return Given(rows=torch.eye(3)[[words.index(t) for t in text]])
        return Given(rows=torch.tensor([i.getpixel((1, 1)) for i in images]).float())

    def get_text_features(self, rows):
        return rows

    get_image_features = get_text_features


def arguments(found: Path) -> list[str]:
    words = str(found.parent / "words.txt")
    return ["discover", "--out", str(found), "--suggest", "clip", "--vocabulary", words]


def test_each_cluster_gets_the_nearest_word(planted, found: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(suggestions, "_load", lambda path: (Eye(), Eye()))
    names = (found / "names.csv").read_text().replace("0,cat,150,", "0,cat,150,mine")
    (found / "names.csv").write_text(names)
    assert main(arguments(found)) == 0
    assert "cluster 0: red (100 %)" in capsys.readouterr().out
    with (found / "names.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["suggestion"] for row in rows] == ["red", "green", "blue"]
    assert [row["name"] for row in rows] == ["mine", "", ""]  # nobody has confirmed the others


def test_a_real_model_is_read_from_disk(planted, found: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    clip = tmp_path / "clip"
    clip.mkdir()
    letters = [chr(c) for c in range(97, 123)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    (clip / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (clip / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(clip / "vocab.json"), str(clip / "merges.txt"))
    size = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    size |= {"num_hidden_layers": 1}
    text = {**size, "vocab_size": len(tokens), "bos_token_id": 0, "eos_token_id": 1}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**size, "image_size": 16, "patch_size": 8}
    )
    transformers.CLIPModel(config).save_pretrained(clip)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(clip)
    words = found.parent / "words.txt"
    given = suggestions.suggest(suggestions.DiscoveryFolder(found), clip, words)
    assert set(given) == {0, 1, 2}
    assert all(
        word in ("green", "blue", "red") and share >= 1 / 3 for word, share in given.values()
    )


def test_mistakes_are_one_message(planted, found: Path, capsys) -> None:
    assert main(["discover", "--out", str(found), "--suggest", "clip"]) == 2
    assert "--suggest and --vocabulary need each other" in capsys.readouterr().err
    (found.parent / "words.txt").write_text("one\n")
    assert main(arguments(found)) == 2
    assert "at least two words" in capsys.readouterr().err
    assert main([*arguments(found), "--export", "parquet"]) == 2
    assert "works on the discovery in --out" in capsys.readouterr().err
