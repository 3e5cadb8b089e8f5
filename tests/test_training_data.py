"""What a run is trained on and with: sources of images, models, optimizers, settings by name."""

from __future__ import annotations

import numpy as np
import pytest
from training_cases import TINY_MODEL, write_folder, write_image

import lucidlite as torch
from lucidlite import models, nn
from lucidlite.training.build import (
    check_model,
    find_model,
    input_for,
    make_loader,
    make_model,
    make_optimizer,
)
from lucidlite.training.settings import Settings
from lucidlite.training.sources import (
    find_source,
    load_image,
    shape_for,
    statistics,
    transform_for,
)


def steps(source, wanted):
    return [str(step) for step in shape_for(source, wanted)]


def test_digits_as_each_model_wants_them():
    source = find_source("sample")
    assert source.shape == (1, 28, 28)
    assert steps(source, (1, 28, 28)) == []
    assert [step.partition("(")[0] for step in steps(source, (3, 32, 32))] == ["Pad", "Grayscale"]
    assert [step.partition("(")[0] for step in steps(source, (1, 40, 40))] == ["Resize"]
    assert input_for(models.CNNWithGAP, 10, source.shape) == (3, 32, 32)
    assert input_for(models.LeNet, 10, source.shape) == (1, 28, 28)
    assert input_for(models.CNNWithGAP, 10, (3, 64, 48)) == (3, 64, 48)


def test_digits_get_a_border_and_three_equal_channels():
    source = find_source("sample")
    mean, std = statistics(source, (3, 32, 32))
    assert (mean, std) == ([0.1307] * 3, [0.3081] * 3)
    images = source.open(False, transform_for(source, (3, 32, 32), mean, std, train=False))
    image, label = images[3]
    plain = source.open(False, None).data[3].numpy().astype(np.float32) / 255
    expected = (np.pad(plain, 2) - np.float32(0.1307)) / np.float32(0.3081)
    assert label == 3
    assert image.shape == (3, 32, 32)
    for channel in image.numpy():
        np.testing.assert_allclose(channel, expected, rtol=1e-5, atol=1e-6)
    (batch, labels), *_ = torch.utils.data.DataLoader(images, batch_size=4)
    np.testing.assert_array_equal(batch[3].numpy(), image.numpy())
    assert labels.tolist() == [0, 1, 2, 3]


def test_only_training_images_are_augmented():
    source = find_source("cifar10")
    for train in (True, False):
        text = str(transform_for(source, (3, 32, 32), [0.5] * 3, [0.2] * 3, train))
        assert ("RandomCrop" in text) == ("RandomHorizontalFlip" in text) == train


def test_grey_statistics_of_a_colour_source():
    source = find_source("cifar10")
    mean, std = statistics(source, (1, 32, 32))
    assert mean == [pytest.approx(0.4734, abs=1e-3)]
    assert std == [pytest.approx(0.2507, abs=1e-3)]


def test_folder_with_train_and_test(tmp_path):
    source = find_source(str(write_folder(tmp_path)))
    train, test = source.open(True, None), source.open(False, None)
    assert (len(train), len(test)) == (36, 12)
    assert train.classes == test.classes == ["high", "low", "middle"]
    wanted = (1, 8, 8)
    mean, std = statistics(source, wanted)
    transform = transform_for(source, wanted, mean, std, train=False)
    pixels = np.stack([image.numpy() for image, _ in source.open(True, transform)])
    assert pixels.shape == (36, 1, 8, 8)
    assert pixels.mean() == pytest.approx(0, abs=1e-3)
    assert pixels.std() == pytest.approx(1, abs=1e-3)


def test_folder_of_classes_is_split_the_same_way_each_time(tmp_path):
    for label in range(3):
        for number in range(10):
            write_image(tmp_path / f"class{label}" / f"{number}.pgm", label, number)
    source = find_source(str(tmp_path))
    parts = [source.open(train, None) for train in (True, False, True)]
    assert [len(part) for part in parts] == [24, 6, 24]
    assert list(parts[0].indices) == list(parts[2].indices)
    assert sorted([*parts[0].indices, *parts[1].indices]) == list(range(30))
    assert parts[1].classes == ["class0", "class1", "class2"]
    assert parts[1][0][1] == parts[1].targets[0]


def test_a_folder_without_an_image_to_test_with(tmp_path):
    source = find_source(str(tmp_path))
    for number in range(4):
        write_image(tmp_path / "a" / f"{number}.pgm", 0, number)
    with pytest.raises(ValueError, match=r"so there must be 5 at least, got 4 in "):
        source.open(True, None)
    write_image(tmp_path / "a" / "4.pgm", 0, 4)
    assert [len(source.open(train, None)) for train in (True, False)] == [4, 1]


def test_folders_that_do_not_go_together(tmp_path):
    with pytest.raises(ValueError, match="cifar10 or a folder of images, got data="):
        find_source(str(tmp_path / "no")).open(True, None)
    write_image(tmp_path / "train" / "a" / "0.pgm", 0, 0)
    source = find_source(str(tmp_path))
    with pytest.raises(FileNotFoundError, match="there must be a folder test or val"):
        source.open(False, None)
    write_image(tmp_path / "val" / "b" / "0.pgm", 0, 0)
    with pytest.raises(ValueError, match=r"same classes, got \['a'\] and \['b'\]"):
        source.open(False, None)


def test_image_files_become_what_the_source_has(tmp_path):
    colour = np.zeros((14, 21, 3), np.uint8)
    colour[..., 0] = 255
    np.save(tmp_path / "red.npy", colour)
    digit = load_image(find_source("sample"), str(tmp_path / "red.npy"))
    assert (digit.shape, digit.dtype) == ((28, 28), np.uint8)
    assert set(digit.ravel().tolist()) == {76}  # the luma of red
    assert set(load_image(find_source("sample"), tmp_path / "red.npy", invert=True).flat) == {179}
    photo = load_image(find_source(str(tmp_path)), str(tmp_path / "red.npy"))
    assert photo.shape == (14, 21, 3)  # its transforms resize it


# -- models, optimizers, settings ---------------------------------------------------------------


def test_models_are_given_what_they_take(tmp_path):
    lenet = make_model(models.LeNet, 7, (3, 32, 32))
    assert lenet(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    path = tmp_path / "random.py"  # a name of the standard library's
    path.write_text(TINY_MODEL)
    kind = find_model(f"{path}:Tiny")
    assert kind.__name__ == "Tiny"
    assert input_for(kind, 3, (3, 8, 8)) == (1, 8, 8)  # what its first convolution takes
    assert make_model(kind, 4, (1, 8, 8)).head.out_features == 4
    assert find_model("resnet8") is models.ResNet8


def test_check_model_leaves_the_statistics():
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(4, 2)).cpu()
    check_model(model, 2, (1, 2, 2), "cpu")
    assert int(model[0].num_batches_tracked) == 0
    assert model.training
    with pytest.raises(ValueError, match=r"must return \(N, 3\) for 3 classes, got \(1, 2\)"):
        check_model(model, 3, (1, 2, 2), "cpu")
    with pytest.raises(ValueError, match=r"cannot take images of shape \(1, 3, 3\)"):
        check_model(model, 2, (1, 3, 3), "cpu")


def test_optimizers():
    model = nn.Linear(2, 2)
    sgd = make_optimizer("sgd", model, 0.1)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.9, True)
    assert type(make_optimizer("adamw", model, 0.1)) is torch.optim.AdamW
    with pytest.raises(ValueError, match="must be one of adam, adamw, sgd, got optimizer='rms'"):
        make_optimizer("rms", model, 0.1)


def some_settings(**changes):
    values = {
        "data": "sample", "model": "lenet", "input": (1, 28, 28), "classes": ["a", "b"],
        "mean": [0.5], "std": [0.25], "epochs": 2, "batch_size": 32, "lr": 0.01,
        "optimizer": "adam", "seed": 3, "limit": None, "data_root": "data",
    }  # fmt: skip
    return Settings(**{**values, **changes})


def test_settings_survive_their_file(tmp_path):
    settings = some_settings(limit=7)
    settings.save(tmp_path / "new" / "run")
    assert Settings.load(tmp_path / "new" / "run") == settings
    (tmp_path / "run.json").write_text('{"data": "sample"}')
    with pytest.raises(ValueError, match=r"run\.json is damaged: KeyError\('model'\)"):
        Settings.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds no run: there is no run\.json in it"):
        Settings.load(tmp_path / "new")


def test_loaders():
    settings = some_settings(limit=70)
    train, test = (make_loader(find_source("sample"), settings, part) for part in (True, False))
    assert (len(train), len(train.dataset), train.batch_size) == (3, 70, 32)
    assert (len(test), test.batch_size) == (1, 100)
    orders = [[y.tolist() for _, y in train], [y.tolist() for _, y in train]]
    assert orders[0] != orders[1]
    assert next(iter(test))[1].tolist() == [n % 10 for n in range(70)]
