"""The tissue's image behind the spots, from where scanpy and squidpy keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes

from transst_py._core.validation import list_some

__all__ = ["TissueImage", "draw_image", "find_images"]

RESOLUTIONS = ("hires", "lowres")


@dataclass(frozen=True)
class TissueImage:
    """An image of the tissue.

    Attributes
    ----------
    pixels
        (height, width) or (height, width, 3 or 4); numbers from 0 to 1, or bytes.
    scale
        Pixels per unit of the spots' coordinates.
    """

    pixels: np.ndarray
    scale: float


def find_images(
    adata: AnnData, image: bool | str | None, samples: Sequence[str | None]
) -> list[TissueImage | None]:
    """Find the image of every sample.

    Parameters
    ----------
    adata
        Spots with `uns["spatial"][library]["images"][resolution]` and the factor
        `["scalefactors"]["tissue_" + resolution + "_scalef"]`.
    image
        None or False: no image. "hires" or "lowres". True: the better one that there is.
    samples
        Their names, which are those of the libraries; None is that of the only one.

    Returns
    -------
    A list with an image, or None, for every sample.

    Raises
    ------
    KeyError
        There is no image, or none of that resolution.
    ValueError
        `image` is something else, no image, or it cannot be told which library a sample is.
    """
    if image is None or image is False:
        return [None] * len(samples)
    if image is not True and image not in RESOLUTIONS:
        raise ValueError(f"`image` must be True, False, None, 'hires' or 'lowres', got {image!r}")
    libraries = adata.uns.get("spatial")
    if not isinstance(libraries, Mapping) or not libraries:
        raise KeyError(
            "`image`: adata.uns has no images under 'spatial', where scanpy and squidpy read them to; "
            "leave `image` out, or copy `uns['spatial']` of an object that has them"
        )
    return [_image_of(libraries[name], name, image) for name in _library_names(libraries, samples)]


def _library_names(libraries: Mapping[str, Any], samples: Sequence[str | None]) -> list[Any]:
    if all(name in libraries for name in samples):
        return list(samples)
    if len(libraries) == len(samples) == 1:
        return list(libraries)
    known = list_some(list(libraries))
    if None in samples:
        raise ValueError(
            f"`image`: adata.uns['spatial'] has several libraries, {known}; say with `sample_key` which "
            "spots are of which, or draw one sample at a time"
        )
    lacking = [name for name in samples if name not in libraries]
    raise ValueError(
        f"`image`: adata.uns['spatial'] has no library for sample {list_some(lacking)}; it has {known}"
    )


def _image_of(library: Mapping[str, Any], name: str, image: bool | str) -> TissueImage:
    images, factors = library.get("images", {}), library.get("scalefactors", {})
    wanted = [image] if isinstance(image, str) else RESOLUTIONS
    for resolution in wanted:
        factor = f"tissue_{resolution}_scalef"
        if resolution in images and factor in factors:
            return TissueImage(_checked_pixels(images[resolution], name), float(factors[factor]))
    raise KeyError(
        f"`image`: library {name!r} has no {' or '.join(map(repr, wanted))} image with its scale factor; it "
        f"has images {list_some(list(images)) or 'none'} and factors {list_some(list(factors)) or 'none'}"
    )


def _checked_pixels(image: Any, name: str) -> np.ndarray:
    pixels = np.asarray(image)
    if pixels.ndim != 2 and not (pixels.ndim == 3 and pixels.shape[2] in (3, 4)):
        raise ValueError(
            f"`image`: that of library {name!r} must be (height, width) or (height, width, 3 or 4), "
            f"got shape {pixels.shape}"
        )
    return pixels


def draw_image(ax: Axes, image: TissueImage) -> None:
    """Draw the part of an image that the Axes show, behind all else.

    Raises
    ------
    ValueError
        They show no part of it.
    """
    left, right = (position * image.scale for position in sorted(ax.get_xlim()))
    top, bottom = (position * image.scale for position in sorted(ax.get_ylim()))
    height, width = image.pixels.shape[:2]
    columns = slice(max(0, int(left)), min(width, int(np.ceil(right)) + 1))
    rows = slice(max(0, int(top)), min(height, int(np.ceil(bottom)) + 1))
    if columns.start >= columns.stop or rows.start >= rows.stop:
        raise ValueError(
            f"`image`: the spots lie outside of it, from ({left:.0f}, {top:.0f}) to ({right:.0f}, "
            f"{bottom:.0f}) in an image of {width} x {height} pixels; the coordinates must be in pixels of "
            "the full resolution"
        )
    # A pixel's number is the place of its middle.
    edges = np.array([columns.start, columns.stop, rows.stop, rows.start]) - 0.5
    limits = ax.get_xlim(), ax.get_ylim()
    ax.imshow(image.pixels[rows, columns], extent=tuple(edges / image.scale), cmap="gray", zorder=-1)
    ax.set(xlim=limits[0], ylim=limits[1])
