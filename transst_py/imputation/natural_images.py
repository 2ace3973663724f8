"""Grey natural images, from which the network learns what sharp maps look like."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

from transst_py._core.validation import check_whole_number

__all__ = ["ImageCrops", "dead_leaves", "load_natural_images"]

SMALLEST_SIDE = 32
SUFFIXES = (".jpeg", ".jpg", ".png")
LUMINANCE = np.array([0.2989, 0.587, 0.114], dtype=np.float32)
# Photographs that scikit-image carries in its wheel: scenes and textures, no diagrams and no micrographs.
SCIKIT_IMAGE = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
N_DEAD_LEAVES = 8
# Radii in pixels between which the discs follow a power law with exponent -3, the one whose images look
# the same at every scale.
RADII = (3.0, 64.0)
LEAVES_PER_PIXEL = 0.035
BLUR = 0.7


def load_natural_images(
    natural_images: str | Path | Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Load grey natural images; nothing is ever downloaded.

    Parameters
    ----------
    natural_images
        None: the two photographs of scikit-learn, those of scikit-image where it is installed, and eight
        drawings of `dead_leaves`, because so few photographs differ little. The result therefore depends
        on whether scikit-image is there. A path: the PNG and JPEG files of that folder, by name. Arrays:
        (h, w) grey or (h, w, 3) red, green, blue, either uint8, uint16 or floating in [0, 1].

    Returns
    -------
    list of ndarray
        float32 (h, w) in [0, 1]; colours become luminance 0.2989 R + 0.587 G + 0.114 B.

    Raises
    ------
    TypeError
        `natural_images` or the values of an array are of no kind listed above.
    ValueError
        The folder does not exist or has no image in it, a file is no image, an array has another shape,
        or an image is smaller than 32 pixels on a side, has missing values or leaves [0, 1].
    """
    if natural_images is None:
        return _bundled_images()
    if isinstance(natural_images, str | Path):
        return _images_of_folder(Path(natural_images))
    if isinstance(natural_images, np.ndarray) or not isinstance(natural_images, Sequence):
        raise TypeError(
            "`natural_images` must be None, the path of a folder or a list of arrays, got "
            f"{type(natural_images).__name__}"
        )
    if len(natural_images) == 0:
        raise ValueError(
            "`natural_images` has no image in it; pass at least one, or None for the bundled ones"
        )
    return [
        _as_grey(np.asarray(image), name=f"image {i} of `natural_images`")
        for i, image in enumerate(natural_images)
    ]


def _bundled_images() -> list[np.ndarray]:
    images = [_as_grey(np.asarray(image), name="photograph") for image in load_sample_images().images]
    images += [_read_grey(path) for path in _scikit_image_files()]
    images += [dead_leaves(256, 256, np.random.default_rng(seed)) for seed in range(N_DEAD_LEAVES)]
    return images


def _scikit_image_files() -> list[Path]:
    """Photographs on disk; its own loader might download what is missing."""
    package = find_spec("skimage")
    folders = package.submodule_search_locations if package is not None else None
    paths = [Path(folder) / "data" / name for folder in folders or () for name in SCIKIT_IMAGE]
    return [path for path in paths if path.is_file()]


def _images_of_folder(folder: Path) -> list[np.ndarray]:
    if not folder.is_dir():
        raise ValueError(f"`natural_images`: no folder {str(folder)!r}; pass a folder of PNG or JPEG files")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"`natural_images`: no file in {str(folder)!r} ends in {', '.join(SUFFIXES)}")
    return [_read_grey(path) for path in paths]


def _read_grey(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16 bits: "I;16", or "I" in older versions
                pixels = np.asarray(image).astype(np.uint16)
            else:
                # Palettes and transparency become plain colours.
                pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except OSError as error:
        raise ValueError(
            f"`natural_images`: cannot read {str(path)!r} as an image; remove it: {error}"
        ) from error
    return _as_grey(pixels, name=repr(str(path)))


def _as_grey(image: np.ndarray, *, name: str) -> np.ndarray:
    """Check one image and turn it into float32 (h, w) in [0, 1]."""
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise TypeError(f"{name} must be uint8, uint16 or floating, got {image.dtype}")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(f"{name} must have shape (h, w) or (h, w, 3), got {image.shape}")
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"{name} has {image.shape[0]} x {image.shape[1]} pixels, fewer than {SMALLEST_SIDE} on a side; "
            "leave it out"
        )
    if image.dtype.kind == "u":
        image = image / np.float32(np.iinfo(image.dtype).max)
    elif not np.isfinite(image).all():
        raise ValueError(f"{name} has missing or infinite values; leave it out")
    elif image.min() < 0 or image.max() > 1:
        raise ValueError(f"{name} must lie in [0, 1], got [{image.min():.3g}, {image.max():.3g}]; rescale it")
    grey = image @ LUMINANCE if image.ndim == 3 else image
    return np.ascontiguousarray(grey, dtype=np.float32)


def dead_leaves(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw grey discs that hide one another: the edges and scales of natural images without a photograph.

    Radii follow a power law, greys are uniform, and a mild blur softens the edges.

    Parameters
    ----------
    height, width
        Pixels.
    rng
        Source of randomness.

    Returns
    -------
    ndarray
        float32 (height, width) in [0, 1].
    """
    low, high = RADII[0] ** -2, RADII[1] ** -2
    n_leaves = round(LEAVES_PER_PIXEL * height * width)
    radii = (low - rng.random(n_leaves) * (low - high)) ** -0.5
    rows, columns = rng.random((2, n_leaves)) * [[height], [width]]
    greys = rng.random(n_leaves, dtype=np.float32)
    image = np.full((height, width), rng.random(), dtype=np.float32)
    y, x = np.ogrid[:height, :width]
    for radius, row, column, grey in zip(radii, rows, columns, greys, strict=True):
        box = tuple(slice(max(0, int(c - radius)), int(c + radius) + 2) for c in (row, column))
        disc = (y[box[0]] - row) ** 2 + (x[:, box[1]] - column) ** 2 <= radius**2
        image[box][disc] = grey
    return np.asarray(gaussian_filter(image, BLUR, mode="nearest").clip(0.0, 1.0))


class ImageCrops:
    """Random crops of grey images.

    Parameters
    ----------
    images
        float32 (h, w) arrays, as `load_natural_images` returns them.
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        if len(images) == 0:
            raise ValueError("`images` is empty; pass at least one image")
        self.images = list(images)

    def sample(self, n: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        """Draw crops from random images, at random places, scales and orientations.

        Where the image is large enough, a crop is with probability a half averaged over blocks of 2 x 2
        pixels. It is then flipped and turned by one of the eight symmetries of the square.

        Parameters
        ----------
        n
            Crops.
        height, width
            Pixels of a crop.
        rng
            Source of randomness.

        Returns
        -------
        ndarray
            float32 (n, height, width).

        Raises
        ------
        ValueError
            A number is below 1, or no image is large enough in either orientation.
        """
        for name, value in {"n": n, "height": height, "width": width}.items():
            check_whole_number(name, value, at_least=1)
        longest = max(height, width)
        images = [image for image in self.images if min(image.shape) >= longest]
        if not images:
            raise ValueError(
                f"no image has {longest} pixels on both sides, as crops of {height} x {width} need; "
                "pass larger images, or ask for smaller crops"
            )
        # All draws of one kind at once: calls of the generator are what would take the time.
        chosen, turns = rng.integers(len(images), size=n), rng.integers(8, size=n)
        coarse, places = rng.integers(1, 3, size=n), rng.random((n, 2))
        crops = np.empty((n, height, width), dtype=np.float32)
        for i in range(n):
            image = images[chosen[i]]
            factor = int(coarse[i]) if min(image.shape) >= 2 * longest else 1
            turn = int(turns[i])
            shape = (height, width) if turn % 2 == 0 else (width, height)
            crop = _block_means(image, places[i], shape, factor)
            crop = np.rot90(crop, turn)
            crops[i] = crop[:, ::-1] if turn >= 4 else crop
        return crops


def _block_means(image: np.ndarray, place: np.ndarray, shape: tuple[int, int], factor: int) -> np.ndarray:
    """Cut `shape` blocks of `factor` x `factor` pixels at a place in [0, 1)^2 and return their means."""
    height, width = shape[0] * factor, shape[1] * factor
    top = int(place[0] * (image.shape[0] - height + 1))
    left = int(place[1] * (image.shape[1] - width + 1))
    window = image[top : top + height, left : left + width]
    return window.reshape(shape[0], factor, shape[1], factor).mean(axis=(1, 3)) if factor > 1 else window
