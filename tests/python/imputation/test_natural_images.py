import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from transst_py.imputation import natural_images
from transst_py.imputation.natural_images import ImageCrops, dead_leaves, load_natural_images


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def without_scikit_image(monkeypatch):
    monkeypatch.setattr(natural_images, "find_spec", lambda name: None)


def luminance(rgb):
    r, g, b = np.moveaxis(np.asarray(rgb, dtype=float), -1, 0)
    return 0.2989 * r + 0.587 * g + 0.114 * b


def numbered(height, width):
    """An image whose every pixel is known by its value."""
    return np.arange(height * width, dtype=np.float32).reshape(height, width)


@pytest.mark.usefixtures("without_scikit_image")
class TestBundled:
    def test_photographs_and_dead_leaves(self):
        images = load_natural_images()
        for photograph, image in zip(load_sample_images().images, images[:2], strict=True):
            np.testing.assert_allclose(image, luminance(photograph) / 255, atol=1e-6)
        assert [image.shape for image in images[2:]] == [(256, 256)] * 8
        for image in images:
            assert image.dtype == np.float32
            assert image.min() >= 0
            assert image.max() <= 1

    def test_same_every_time(self):
        first, second = load_natural_images(), load_natural_images()
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.array_equal(first[-1], first[-2])


def test_scikit_image_is_read_from_its_wheel(tmp_path, monkeypatch, rng):
    """Only photographs that lie there: its own loader would download the others."""
    data = tmp_path / "skimage" / "data"
    data.mkdir(parents=True)
    (tmp_path / "skimage" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    camera = rng.integers(0, 256, (40, 50), dtype=np.uint8)
    for name in ("camera.png", "text.png"):
        Image.fromarray(camera).save(data / name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "skimage", raising=False)
    images = load_natural_images()
    assert len(images) == 2 + 1 + 8
    np.testing.assert_allclose(images[2], camera / 255, atol=1e-6)


class TestDeadLeaves:
    def test_depends_on_the_generator_alone(self):
        first, again, other = (dead_leaves(64, 48, np.random.default_rng(s)) for s in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)
        assert first.shape == (64, 48)
        assert first.dtype == np.float32

    def test_looks_like_discs_at_many_scales(self, rng):
        image = dead_leaves(256, 256, rng)
        assert 0 <= image.min() < 0.1
        assert 0.9 < image.max() <= 1
        steps = np.abs(np.diff(image, axis=1))
        assert np.mean(steps < 1e-3) > 0.3  # flat inside the discs
        assert np.quantile(steps, 0.99) > 0.2  # sharp between them
        # Noise would lose a factor 2 with each average over 2 x 2; scale-free images keep their contrast.
        coarse = image.reshape(64, 4, 64, 4).mean(axis=(1, 3))
        assert coarse.std() > 0.6 * image.std()

    def test_discs_are_discs(self, monkeypatch):
        monkeypatch.setattr(natural_images, "LEAVES_PER_PIXEL", 1 / 100**2)
        monkeypatch.setattr(natural_images, "RADII", (19.999, 20.0))
        monkeypatch.setattr(natural_images, "BLUR", 0.0)
        image = dead_leaves(100, 100, np.random.default_rng(2))
        background = image[0, 0]
        row, column = np.nonzero(image != background)
        assert abs(row.size - np.pi * 400) < 30
        assert np.hypot(row - row.mean(), column - column.mean()).max() < 20.5


class TestFolder:
    def test_reads_by_name_whatever_the_colours(self, tmp_path, rng):
        grey = rng.integers(0, 256, (33, 40), dtype=np.uint8)
        rgb = rng.integers(0, 256, (32, 35, 3), dtype=np.uint8)
        deep = rng.integers(0, 2**16, (34, 34), dtype=np.uint16)
        alpha = np.dstack([rgb, rng.integers(0, 256, (32, 35), dtype=np.uint8)])
        Image.fromarray(grey).save(tmp_path / "a.png")
        Image.fromarray(rgb).save(tmp_path / "b.PNG")
        Image.fromarray(deep).save(tmp_path / "c.png")
        Image.fromarray(alpha).save(tmp_path / "d.png")
        Image.fromarray(np.full((32, 32), 51, np.uint8)).save(tmp_path / "e.jpg")
        Image.fromarray(grey).convert("P").save(tmp_path / "f.png")
        (tmp_path / "notes.txt").write_text("no image")
        expected = [
            grey / 255,
            luminance(rgb) / 255,
            deep / 65535,
            luminance(rgb) / 255,
            np.full((32, 32), 0.2),
            luminance(np.dstack([grey] * 3)) / 255,
        ]
        for source in (tmp_path, str(tmp_path)):
            for found, image in zip(load_natural_images(source), expected, strict=True):
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, image, atol=1e-6)

    def test_no_folder(self, tmp_path):
        with pytest.raises(ValueError, match=r"`natural_images`: no folder .*nowhere"):
            load_natural_images(tmp_path / "nowhere")

    def test_no_image_in_it(self, tmp_path):
        (tmp_path / "notes.txt").write_text("no image")
        with pytest.raises(ValueError, match=r"no file in .* ends in \.jpeg"):
            load_natural_images(tmp_path)

    def test_small_image_is_named(self, tmp_path):
        Image.fromarray(np.zeros((31, 40), np.uint8)).save(tmp_path / "small.png")
        with pytest.raises(ValueError, match=r"small\.png.* has 31 x 40 pixels, fewer than 32"):
            load_natural_images(tmp_path)

    @pytest.mark.parametrize("keep", [20, 200])
    def test_broken_file_is_named(self, tmp_path, rng, keep):
        path = tmp_path / "broken.png"
        Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match=r"cannot read .*broken\.png"):
            load_natural_images(tmp_path)


class TestArrays:
    def test_kinds(self, rng):
        rgb = rng.random((32, 40, 3))
        bytes_ = (rgb * 255).astype(np.uint8)
        words = (rgb * 65535).astype(np.uint16)
        found = load_natural_images([rgb, rgb[..., 0].astype(np.float32), bytes_, words[..., 1]])
        expected = [luminance(rgb), rgb[..., 0], luminance(bytes_) / 255, words[..., 1] / 65535]
        for image, wanted in zip(found, expected, strict=True):
            assert image.dtype == np.float32
            np.testing.assert_allclose(image, wanted, atol=1e-6)

    @pytest.mark.parametrize(
        ("image", "error", "match"),
        [
            (np.full((32, 32), np.nan), ValueError, "image 1 of `natural_images` has missing"),
            (np.full((32, 32), 2.0), ValueError, r"image 1 of `natural_images` must lie in \[0, 1\]"),
            (np.full((32, 32), -0.1), ValueError, r"image 1 of `natural_images` must lie in \[0, 1\]"),
            (np.zeros((40, 31)), ValueError, "image 1 of `natural_images` has 40 x 31 pixels"),
            (np.zeros((40, 40, 4)), ValueError, r"image 1 of `natural_images` must have shape"),
            (np.zeros(40), ValueError, r"image 1 of `natural_images` must have shape"),
            (np.zeros((40, 40), dtype=int), TypeError, "image 1 of `natural_images` must be uint8.*int64"),
        ],
    )
    def test_bad_image(self, image, error, match):
        with pytest.raises(error, match=match):
            load_natural_images([np.zeros((32, 32)), image])

    def test_bad_source(self):
        with pytest.raises(TypeError, match=r"`natural_images` must be None.*got ndarray"):
            load_natural_images(np.zeros((3, 40, 40)))
        with pytest.raises(TypeError, match="got int"):
            load_natural_images(3)
        with pytest.raises(ValueError, match="has no image in it"):
            load_natural_images([])


def crops_of_numbered(image, height, width, factor):
    """Every possible crop of an image by its definition, as a set of byte strings."""
    found = set()
    for turned in (np.rot90(image, k) for k in range(4)):
        for flipped in (turned, turned[:, ::-1]):
            for top in range(flipped.shape[0] - height * factor + 1):
                for left in range(flipped.shape[1] - width * factor + 1):
                    crop = np.zeros((height, width), dtype=np.float32)
                    for row, column in np.ndindex(factor, factor):
                        crop += flipped[
                            top + row : top + height * factor : factor,
                            left + column : left + width * factor : factor,
                        ][:height, :width]
                    found.add((crop / factor**2).astype(np.float32).tobytes())
    return found


class TestCrops:
    def test_all_crops_of_both_scales_and_no_others(self, rng):
        height, width = 3, 2
        image = numbered(6, 7)
        possible = {f: crops_of_numbered(image, height, width, f) for f in (1, 2)}
        n = 60 * sum(len(crops) for crops in possible.values())
        drawn = ImageCrops([image]).sample(n, height, width, rng)
        assert drawn.shape == (n, height, width)
        assert drawn.dtype == np.float32
        found = {crop.tobytes() for crop in drawn}
        assert found == possible[1] | possible[2]

    def test_no_coarser_scale_on_small_images(self, rng):
        image = numbered(5, 5)
        found = {crop.tobytes() for crop in ImageCrops([image]).sample(2000, 3, 3, rng)}
        assert found == crops_of_numbered(image, 3, 3, 1)

    def test_half_of_the_crops_are_coarse(self, rng):
        drawn = ImageCrops([numbered(20, 20)]).sample(2000, 4, 4, rng)
        step = np.abs(drawn[:, 0, 1] - drawn[:, 0, 0])
        assert 0.45 < np.isin(step, (2, 40)).mean() < 0.55
        assert np.isin(step, (1, 20, 2, 40)).all()

    def test_every_image_that_is_large_enough(self, rng):
        images = [np.full((s, s + 9), s, dtype=np.float32) for s in (4, 8, 16)]
        drawn = ImageCrops(images).sample(900, 6, 8, rng)
        values, counts = np.unique(drawn[:, 0, 0], return_counts=True)
        np.testing.assert_array_equal(values, [8, 16])
        assert (counts > 400).all()

    def test_same_seed_same_crops(self):
        crops = ImageCrops([numbered(40, 50)])
        first, again = (crops.sample(8, 5, 6, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(first, again)

    def test_images_stay_as_they_are(self, rng):
        image = numbered(8, 8)
        ImageCrops([image]).sample(4, 3, 3, rng)[:] = -1
        np.testing.assert_array_equal(image, numbered(8, 8))

    def test_bad_input(self, rng):
        with pytest.raises(ValueError, match="`images` is empty"):
            ImageCrops([])
        crops = ImageCrops([numbered(8, 20)])
        with pytest.raises(ValueError, match=r"no image has 10 pixels on both sides.*10 x 4 need"):
            crops.sample(1, 10, 4, rng)
        with pytest.raises(ValueError, match="`height` must be at least 1"):
            crops.sample(1, 0, 4, rng)
        with pytest.raises(TypeError, match="`n` must be one whole number"):
            crops.sample(1.5, 5, 4, rng)
