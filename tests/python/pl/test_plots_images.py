"""The image behind the spots."""

import anndata as ad
import numpy as np
import pytest
from figures import discs, render
from matplotlib.figure import Figure

import transst_py as tst

pytestmark = pytest.mark.usefixtures("no_pyplot_state")

SCALE = 0.1


def library(brightness, shape=(120, 110, 3), resolutions=("hires",)):
    return {
        "images": {name: np.full(shape, brightness) for name in resolutions},
        "scalefactors": {f"tissue_{name}_scalef": SCALE for name in resolutions},
    }


@pytest.fixture
def tissue():
    adata, _ = tst.datasets.simulated_tissue(n_rows=9, n_cols=10, n_genes=15)
    adata.obs["transst_confidence"] = 0.5
    adata.uns["spatial"] = {"V1": library(0.3)}
    return adata


def test_only_if_asked_for(tissue):
    for image in (None, False):
        ax = tst.pl.domains(tissue, key="label", image=image)
        assert list(ax.images) == []
        assert discs(ax).get_widths()[0] == pytest.approx(100.0)


@pytest.mark.parametrize("plot", [tst.pl.domains, tst.pl.confidence])
def test_behind_the_spots(tissue, plot, tmp_path):
    options = {"key": "label"} if plot is tst.pl.domains else {}
    ax = plot(tissue, image=True, alpha=0.5, **options)
    (image,) = ax.images
    assert image.get_zorder() < discs(ax).get_zorder()
    assert discs(ax).get_alpha() == 0.5
    assert discs(ax).get_widths()[0] == pytest.approx(70.0)
    plain = plot(tissue, spot_size=70.0, **options)
    assert (ax.get_xlim(), ax.get_ylim()) == (plain.get_xlim(), plain.get_ylim())
    render(ax, tmp_path / "image.png")


def test_a_landmark_lies_under_its_spot(tissue):
    """The pixel at a spot's place in the image is drawn at the spot's place on the Axes."""
    for spot in (0, 44, 89):
        x, y = tissue.obsm["spatial"][spot]
        pixels = np.zeros((120, 110))
        row, column = round(y * SCALE), round(x * SCALE)
        pixels[row, column] = 1.0
        tissue.uns["spatial"]["V1"]["images"]["hires"] = pixels
        (image,) = tst.pl.domains(tissue, key="label", image=True).images
        shown = np.asarray(image.get_array())
        left, right, bottom, top = image.get_extent()
        (found,) = np.argwhere(shown == 1.0)
        size = np.array([right - left, bottom - top]) / shown.shape[::-1]
        middle = np.array([left, top]) + (found[::-1] + 0.5) * size
        np.testing.assert_allclose(middle, [x, y], atol=0.5 / SCALE)
        np.testing.assert_allclose(size, 1 / SCALE)


def test_libraries_are_those_of_the_samples(tissue):
    pooled = ad.concat({"A": tissue, "B": tissue}, label="slice", index_unique="-")
    pooled.uns["spatial"] = {"B": library(0.7), "A": library(0.2)}
    axes = tst.pl.domains(pooled, key="label", sample_key="slice", image=True)
    assert [np.max(ax.images[0].get_array()) for ax in axes] == [0.2, 0.7]
    with pytest.raises(ValueError, match="several libraries, 'B', 'A'; say with `sample_key`"):
        tst.pl.domains(pooled, key="label", image=True)
    del pooled.uns["spatial"]["B"]
    with pytest.raises(ValueError, match="no library for sample 'B'; it has 'A'"):
        tst.pl.domains(pooled, key="label", sample_key="slice", image=True)


def test_resolution(tissue):
    tissue.uns["spatial"] = {"V1": library(0.3, resolutions=("lowres",))}
    for image in (True, "lowres"):
        assert len(tst.pl.domains(tissue, key="label", image=image).images) == 1
    with pytest.raises(KeyError, match="'V1' has no 'hires' image with its scale factor; it has images 'low"):
        tst.pl.domains(tissue, key="label", image="hires")


def test_imputation_shows_the_same_place_in_all_panels(tissue):
    dense = tst.tl.impute(tissue, method="nearest", genes=["gene3"])
    axes = tst.pl.imputation(dense, "gene3", image=True, alpha=0.8)
    assert axes[0].images[0].get_extent() == axes[1].images[0].get_extent()
    assert discs(axes[0]).get_widths()[0] == pytest.approx(70.0)
    ax = Figure().subplots()
    tst.pl.imputation(dense, "gene3", image="hires", ax=ax)
    assert len(ax.images) == 1


def test_images_go_with_what_is_made_of_the_spots(tissue):
    view = tissue[tissue.obs["array_row"] > 0]
    for new in (
        tst.tl.impute(tissue, method="nearest", genes=["gene3"]),
        tst.tl.impute(view, method="nearest", genes=["gene3"]),
        tst.tl.bin_cells(tissue, bin_size=200.0),
    ):
        pixels = new.uns["spatial"]["V1"]["images"]["hires"]
        assert pixels.max() == 0.3
        pixels[:] = 0.9  # its own
    assert tissue.uns["spatial"]["V1"]["images"]["hires"].max() == 0.3
    del tissue.uns["spatial"]
    dense = tst.tl.impute(tissue, method="nearest", genes=["gene3"])
    assert "spatial" not in dense.uns
    with pytest.raises(KeyError, match=r"copy `uns\['spatial'\]` of an object that has them"):
        tst.pl.imputation(dense, "gene3", image=True)


def test_bad_input(tissue):
    with pytest.raises(ValueError, match="`image` must be True, False, None, 'hires' or 'lowres', got 'big'"):
        tst.pl.domains(tissue, key="label", image="big")
    tissue.uns["spatial"]["V1"]["images"]["hires"] = np.zeros((4, 5, 2))
    with pytest.raises(ValueError, match=r"got shape \(4, 5, 2\)"):
        tst.pl.domains(tissue, key="label", image=True)
    tissue.uns["spatial"]["V1"]["images"]["hires"] = np.zeros((40, 50, 3))
    tissue.obsm["spatial"] += 5000.0
    with pytest.raises(ValueError, match="the spots lie outside of it"):
        tst.pl.domains(tissue, key="label", image=True)
    del tissue.uns["spatial"]
    with pytest.raises(KeyError, match="no images under 'spatial'"):
        tst.pl.confidence(tissue, image=True)
