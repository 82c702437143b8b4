"""Does a classifier answer as the network that was trained, whatever it is given and wherever it runs?"""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from inference.untrained import CONFIG, CPU, IMAGES, LABELS, classifier, network
from msgspec.structs import replace
from PIL import Image
from torch import nn

import nin
from nin.choices import Fit
from nin.data.photos.preparation import Preparation, prepare
from nin.data.preprocessing import Preprocessing
from nin.errors import ModelError, NinError, OptionError, PhotoError
from nin.inference.classifier import Classifier, Prediction
from nin.networks.batch_norm import fold, with_batch_norm
from nin.networks.initialisation import initialise
from nin.networks.nin import NiN
from nin.networks.nin_2013 import NiN2013
from nin.networks.registry import build_network
from nin.training.network import shift_logits


def larger(size: int = 131) -> Classifier:
    """Return a classifier at another size than 67x67, where the class maps have more than one cell."""
    return classifier(replace(CONFIG, preprocessing=replace(CONFIG.preprocessing, size=size)))


# --- Predictions ---


def test_probabilities_are_the_softmax_of_the_networks_logits_over_the_temperature():
    with torch.inference_mode():
        logits = network()(CONFIG.preprocessing(IMAGES))
    made = classifier()
    assert torch.allclose(made.logits(IMAGES), logits, atol=1e-5)
    assert torch.allclose(made.probabilities(IMAGES), (logits / 1.5).softmax(1), atol=1e-5)
    found = made.predict(IMAGES)
    assert [one.label for one in found] == [LABELS[i] for i in logits.argmax(1)]
    assert all(one.probability == max(one.probabilities.values()) == one.probabilities[one.label] for one in found)
    assert list(found[0].probabilities) == list(LABELS)
    assert made.labels == LABELS


@pytest.mark.parametrize("size", [67, 131])
def test_the_batch_norm_variant_and_the_loaded_classifier_say_the_same_and_the_pooled_maps_are_the_logits(
    size: int, tmp_path: Path
):
    torch.manual_seed(1)
    start = NiN(1, 4, final_relu=False)
    initialise(start, "he")
    variant = with_batch_norm(start)
    preprocessing = replace(CONFIG.preprocessing, size=size)
    for _ in range(5):  # norms that have seen images
        variant(preprocessing(IMAGES))
    variant.eval()
    with torch.inference_mode():
        trained = variant(preprocessing(IMAGES))
    shifted = shift_logits(NiN(1, 4), 0.0)
    shifted.load_state_dict(fold(variant).state_dict())
    shifted = shift_logits(shifted, trained.min().item())
    classifier(replace(CONFIG, preprocessing=preprocessing), shifted).save(tmp_path / "model")

    loaded = nin.load(tmp_path / "model", device="cpu", precision="float32")
    assert torch.allclose(loaded.probabilities(IMAGES), (trained / 1.5).softmax(1), atol=1e-5)
    maps = loaded.class_maps(IMAGES)
    assert maps.shape == (5, 4, (size - 35) // 32, (size - 35) // 32)
    assert torch.equal(maps.amax((2, 3)), loaded.logits(IMAGES))


def test_a_list_of_sizes_and_kinds_keeps_its_order(tmp_path: Path):
    Image.fromarray(IMAGES[1, 0].numpy()).resize((90, 40)).save(tmp_path / "one.png")
    given = [IMAGES[0], tmp_path / "one.png", torch.zeros(3, 1, 40, 50, dtype=torch.uint8), str(tmp_path / "one.png")]
    made = classifier()
    found = made.logits(given)
    assert found.shape == (6, 4)
    assert torch.allclose(found[0], made.logits(IMAGES[0])[0], atol=1e-5)
    assert torch.allclose(found[1], found[5], atol=1e-5)


def test_many_images_keep_their_order_over_the_batches(monkeypatch: pytest.MonkeyPatch):
    made = classifier()
    many = torch.randint(0, 256, (1, 1, 67, 67), dtype=torch.uint8).repeat(20, 1, 1, 1)
    many[:, 0, 0, 0] = torch.arange(20)
    given = [*IMAGES, many[:7], IMAGES, many[7:], *IMAGES]
    at_once = made.logits(given)
    monkeypatch.setattr("nin.inference.inputs.images_per_batch", lambda size: 6)
    found = made.logits(given)
    assert torch.allclose(found, at_once, atol=1e-5)
    assert torch.allclose(found[12:17], made.logits(IMAGES), atol=1e-5)
    assert torch.allclose(found[5:12], made.logits(many[:7]), atol=1e-5)


def test_colour_images_have_three_channels():
    made = classifier(replace(CONFIG, preprocessing=Preprocessing(67, (0.1, 0.2, 0.3), (1.0, 1.0, 1.0))))
    assert made.logits(torch.zeros(3, 30, 30, dtype=torch.uint8)).shape == (1, 4)
    assert made.logits(Image.new("RGB", (60, 40), "red")).shape == (1, 4)
    with pytest.raises(NinError, match=r"images, 3, height, width.*not \(2, 1, 8, 8\)"):
        made.logits(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_photos_are_prepared_as_the_config_says(fit: Fit, tmp_path: Path):
    preparation = Preparation("photo", fit)
    colour = Preprocessing(67, (0.4, 0.5, 0.6), (0.3, 0.3, 0.3))
    made = classifier(replace(CONFIG, preprocessing=colour, image_size=40, preparation=preparation))
    photo = Image.effect_mandelbrot((90, 50), (-2, -1, 1, 1), 100).convert("RGB")
    photo.paste((250, 240, 20), (0, 0, 20, 50))
    photo.save(tmp_path / "one.png")
    image = torch.from_numpy(prepare(photo, preparation, 3, 40).image)
    assert torch.equal(made.logits(tmp_path / "one.png"), made.logits(image))
    assert torch.equal(made.logits(photo), made.logits(image))
    garment = Classifier(made.network, replace(made.config, preparation=Preparation("garment")), device=CPU)
    assert not torch.equal(garment.logits(photo), made.logits(photo))


def test_light_and_dark_of_photos_that_are_no_garments_are_swapped_only_when_asked():
    made = classifier(replace(CONFIG, preparation=Preparation("photo")))
    bright = Image.new("L", (40, 60), 255)
    assert [made.predict(bright, invert=how)[0].inverted for how in ("auto", "no", "yes")] == [False, False, True]
    assert made.predict(bright) == made.predict(torch.full((28, 28), 255, dtype=torch.uint8))


@pytest.mark.parametrize("given", [[], [[]], iter(())])
def test_nothing_to_classify_is_one_clear_line(given: object):
    with pytest.raises(NinError, match=r"^there is nothing to classify; give at least one image$"):
        classifier().predict(given)


@pytest.mark.parametrize("change", [{"mean": (1e300,)}, {"std": (1e-320,)}, {"temperature": 1e-300}])
def test_logits_that_are_no_numbers_are_an_error_and_no_prediction(change: dict[str, object]):
    made = classifier()
    parts = {name: value for name, value in change.items() if name != "temperature"}
    made.config = replace(CONFIG, preprocessing=replace(CONFIG.preprocessing, **parts))
    made.config = replace(made.config, temperature=change.get("temperature", 1.0))
    with pytest.raises(ModelError, match="not finite"):
        made.predict(IMAGES)


def test_of_photos_that_cannot_be_read_the_error_stands_in_its_place(tmp_path: Path):
    Image.new("L", (40, 60), 255).save(tmp_path / "white.png")
    (tmp_path / "notes.png").write_text("no photo")
    names = ("white.png", "notes.png", "missing.png", "white.png")
    first, *bad, last = (answer for _, answer in classifier().predict_photos(tmp_path / name for name in names))
    assert isinstance(first, Prediction)
    assert first == last
    assert first.inverted
    for answer, name in zip(bad, names[1:3], strict=True):
        assert isinstance(answer, PhotoError)
        assert name in str(answer)
    [(_, kept)] = classifier().predict_photos([tmp_path / "white.png"], invert="no")
    assert isinstance(kept, Prediction)
    assert not kept.inverted
    assert list(classifier().predict_photos([])) == []
    with pytest.raises(PhotoError, match=r"missing\.png"):
        classifier().predict([IMAGES[0], tmp_path / "missing.png"])


# --- Explanations ---


def words(figure: object) -> list[str]:
    return [text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text"))]


def test_images_are_explained_in_a_row_each_by_the_maps_of_their_most_probable_labels():
    made = larger()
    said = words(made.explain(IMAGES[:2]))
    assert {"image 1", "image 2"} <= set(said)
    for row, prediction in enumerate(made.predict(IMAGES[:2])):
        for label in sorted(prediction.probabilities, key=prediction.probabilities.__getitem__)[1:]:
            assert f"{label} {100 * prediction.probabilities[label]:.0f} %" in said, (row, label)
    logits = made.logits(IMAGES[:2])
    assert f"logit {logits[1].max():.1f}" in said


def test_what_averages_its_class_maps_is_explained_by_maps_whose_mean_is_the_logit():
    torch.manual_seed(0)
    network = NiN2013(3, 4)
    initialise(network, "he")
    nn.init.constant_(network.n3[-1].bias, -1.0)
    colour = Preprocessing(32, (0.4, 0.5, 0.6), (0.3, 0.3, 0.3))
    made = classifier(replace(CONFIG, architecture="nin-2013", preprocessing=colour), network)
    images = IMAGES[:2].expand(-1, 3, -1, -1)
    maps, logits = made.class_maps(images), made.logits(images)
    assert maps.shape == (2, 4, 8, 8)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), logits)
    assert (maps < 0).any()
    said = words(made.explain(images))
    for row, prediction in enumerate(made.predict(images)):
        most_probable = sorted(prediction.probabilities.items(), key=lambda pair: -pair[1])[:3]
        for label, share in most_probable:
            assert f"{label} {100 * share:.0f} %" in said
            logit = f"{logits[row, LABELS.index(label)]:z.1f}".replace("-", "−")
            assert f"logit {logit}" in said
    assert any("The mean of the 8×8 cells is the logit." in text for text in said)


def test_photos_are_explained_under_the_names_of_their_files_or_under_titles_of_ones_own(tmp_path: Path):
    paths = [tmp_path / name for name in ("one.png", "two.png")]
    for path in paths:
        Image.new("L", (40, 60), 100).save(path)
    made = larger()
    assert {"one.png", "two.png"} <= set(words(made.explain(paths)))
    assert "two.png" in words(made.explain(str(paths[1])))
    assert "image 2" in words(made.explain([paths[0], IMAGES[0]]))
    assert {"first", "second"} <= set(words(made.explain(paths, ["first", "second"])))


def test_what_cannot_be_explained_is_one_clear_line():
    made = classifier()
    with pytest.raises(NinError, match=r"^images of different sizes .* give them one by one$"):
        made.explain([IMAGES[0], torch.zeros(1, 30, 30, dtype=torch.uint8)])
    with pytest.raises(NinError, match=r"^1 titles for 5 images: give one for each$"):
        made.explain(IMAGES, ["all"])
    with pytest.raises(NinError, match="nothing to classify"):
        made.explain([])
    dense = Classifier(build_network("alexnet", 1, 4, 67), replace(CONFIG, architecture="alexnet"), device=CPU)
    assert dense.logits(IMAGES[:1]).shape == (1, 4)
    for explain in (dense.explain, dense.class_maps):
        with pytest.raises(NinError, match=r"^alexnet has no class maps: it ends in dense layers; take a NiN$"):
            explain(IMAGES)


# --- The process around ---


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_dtype_and_device_of_the_program_around_change_no_prediction(dtype: torch.dtype, tmp_path: Path):
    expected = classifier().predict(IMAGES)
    classifier().save(tmp_path / "model")
    torch.set_default_dtype(dtype)
    torch.set_default_device("meta")
    try:
        loaded = nin.load(tmp_path / "model", device="cpu", precision="float32")
        assert loaded.predict(IMAGES) == expected
        assert loaded.class_maps(IMAGES).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert loaded.predict(IMAGES) == expected, "nothing of that is kept"


def test_gradients_and_the_training_mode_of_a_network_change_no_prediction():
    made = classifier(made=NiN(1, 4, dropout=0.5))
    expected = made.predict(IMAGES)
    made.network.train()
    with torch.enable_grad():
        assert made.predict(IMAGES) == expected
        assert not made.logits(IMAGES).requires_grad


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_predicts():
    made = classifier()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # which do not survive the fork
    try:
        expected = made.predict(IMAGES)[0].label
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of a fork beside threads
            child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(30)  # which kills the child if it hangs
                code = 0 if made.predict(IMAGES)[0].label == expected else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("before", ["", "label(0)"], ids=["its parent has not predicted", "its parent has predicted"])
def test_a_pool_of_forked_workers_predicts(before: str):
    program = f"""
import multiprocessing, json, warnings, numpy, nin
classifier = nin.load("fashion-mnist-fast")
def label(number):
    return classifier.predict(numpy.zeros((28, 28), "u1"))[0].label
if __name__ == "__main__":
    {before or "pass"}
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(json.dumps(pool.map_async(label, range(4)).get(timeout=60)))
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, timeout=120
    )
    assert len(set(json.loads(answer.stdout))) == 1


# --- Loading ---


@pytest.mark.parametrize(
    ("name", "network", "size", "label"),
    [
        ("fashion-mnist", "nin", 131, "T-shirt/top"),
        ("fashion-mnist-fast", "nin", 67, "T-shirt/top"),
        ("fashion-mnist-maps", "nin-2013", 28, "T-shirt/top"),
        ("cifar10", "nin-2013", 32, "airplane"),
    ],
)
def test_the_models_of_the_package_load_by_name(name: str, network: str, size: int, label: str):
    loaded = nin.load(name, device="cpu")
    assert loaded.config.preprocessing.size == size
    assert loaded.labels[0] == label
    assert repr(loaded).startswith(f"Classifier({network} at {size}x{size}, 10 classes, cpu in ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has cuda")
def test_a_device_that_is_not_there_is_one_line():
    with pytest.raises(OptionError, match=r"^device cuda is not available on this machine: .*$"):
        nin.load("fashion-mnist-fast", device="cuda")


def test_a_network_of_another_dtype_computes_in_float32():
    expected = classifier().logits(IMAGES)
    double = Classifier(network().double(), CONFIG, device=torch.device("cpu"), precision="float32")
    assert torch.allclose(double.logits(IMAGES), expected, atol=1e-5)


def test_one_path_is_one_photo(tmp_path: Path):
    Image.new("RGB", (50, 80), "white").save(tmp_path / "a.png")
    assert len(list(classifier().predict_photos(tmp_path / "a.png"))) == 1
    assert len(list(classifier().predict_photos(str(tmp_path / "a.png")))) == 1


@pytest.mark.parametrize("folder", ["a\0b", "x" * 300])
def test_a_place_where_no_model_can_be_saved_is_one_line(folder: str):
    with pytest.raises(NinError) as error:
        classifier().save(folder)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_what_no_type_allows_is_one_line_each_for_those_who_check_no_types(tmp_path: Path):
    # In a process of its own, without the type checks of these tests: they would refuse the values before we do.
    program = """
import nin, torch
classifier, images = nin.load("fashion-mnist-fast"), torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
for call in (
    lambda: classifier.predict(images, invert="x"), lambda: classifier.save(None), lambda: classifier.save(5),
    lambda: nin.load(5), lambda: nin.evaluate(classifier, images), lambda: nin.evaluate("fashion-mnist", None),
    lambda: nin.LabelledImages(images.numpy(), images.numpy(), ("a",)),
):
    try:
        call()
    except nin.NinError as error:
        print(error)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(answer.stdout.splitlines()) == 7
