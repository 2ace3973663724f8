from __future__ import annotations

import re
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score

import transst_py as tst
from transst_py.domains import choice
from transst_py.domains.choice import check_candidates, choice_record, choose_n_domains, criterion_values
from transst_py.pl._choice import CRITERION_COLOR, STABILITY_COLOR, n_domains
from transst_py.tissue.graph import spatial_neighbors

COLUMNS = [
    *("n_domains", "log_likelihood", "n_parameters", "bic", "mbic", "hbic", "slope"),
    *("stability", "stability_sd"),
]


@pytest.fixture(scope="module")
def quarters():
    """Four well separated squares on a 20 x 20 lattice: scores (400, 4), graph, true labels."""
    rng = np.random.default_rng(0)
    xy = np.stack(np.meshgrid(np.arange(20), np.arange(20)), axis=-1).reshape(-1, 2).astype(float)
    y = ((xy[:, 0] // 10) + 2 * (xy[:, 1] // 10)).astype(int)
    means = 4.0 * np.eye(4)
    return means[y] + rng.normal(size=(len(y), 4)), spatial_neighbors(xy, n_neighbors=4), y


@pytest.fixture(scope="module")
def fitted(quarters):
    V, graph, _ = quarters
    return choose_n_domains(V, graph, [6, 2, 4, 3, 4], criterion="hbic", n_subsamples=3, n_init=2)


def test_criteria_by_hand():
    # q = 3 factors, K = 2: a mean of 3 and a covariance of 6 numbers each, and the smoothness: P = 19.
    assert choice.n_parameters(2, 3) == 19
    assert choice.n_parameters(7, 15) == 946
    assert choice.n_parameters(2, 3, "tied") == 13
    assert choice.n_parameters(2, 3, "diag") == 13
    found = criterion_values(-1000.0, 2, 97, 3, 0.5)
    # log 97 = 4.574711, log log 100 = 1.527180, log(4.574711 + 19) = 3.160173
    assert found["bic"] == pytest.approx(2000 + 9.5 * 4.574711, rel=1e-7)
    assert found["mbic"] == pytest.approx(2000 + 9.5 * 4.574711 * 1.527180, rel=1e-7)
    assert found["hbic"] == pytest.approx(2000 + 9.5 * 3.160173, rel=1e-7)
    doubled = criterion_values(-1000.0, 2, 97, 3, 1.0)
    assert doubled["hbic"] - 2000 == pytest.approx(2 * (found["hbic"] - 2000))


def test_slope_by_hand():
    P = np.array([10.0, 20, 30, 40, 50])
    # The upper half, from 30 on, gains 2 a parameter: 4 κ P = 8 P.
    LL = np.array([-500.0, -300, -200, -180, -160])
    np.testing.assert_allclose(choice.slope_values(LL, P), [1080, 760, 640, 680, 720])
    # Likelihoods that fall (poor optima) give no reward for parameters.
    np.testing.assert_allclose(choice.slope_values(-P, P), 2 * P)
    assert np.isnan(choice.slope_values(LL[:3], P[:3])).all()


def test_published_weight_jumps_at_1000_spots():
    assert [choice.published_weight(n) for n in (2, 999, 1000, 10**6)] == [0.5, 0.5, 2.0, 2.0]


def test_table_holds_the_criteria_of_the_mixtures(fitted):
    assert list(fitted.table.columns) == COLUMNS
    assert list(fitted.table["n_domains"]) == [2, 3, 4, 6] == list(fitted.mixtures)
    for row in fitted.table.itertuples():
        mixture = fitted.mixtures[row.n_domains]
        assert mixture.n_components == row.n_domains
        assert row.log_likelihood == mixture.lower_bounds_[-1]
        expected = criterion_values(row.log_likelihood, row.n_domains, 400, 4, 0.5)
        assert (row.bic, row.mbic, row.hbic) == (expected["bic"], expected["mbic"], expected["hbic"])
    np.testing.assert_array_equal(
        fitted.table["slope"],
        choice.slope_values(*fitted.table[["log_likelihood", "n_parameters"]].to_numpy().T),
    )
    assert fitted.mixture is fitted.mixtures[fitted.n_domains]


def test_log_likelihood_is_that_of_the_scores_up_to_one_constant(quarters, fitted):
    V, graph, _ = quarters
    _, log_det = np.linalg.slogdet(np.cov(V, rowvar=False, bias=True))
    constant = -0.5 * len(V) * log_det
    for mixture in fitted.mixtures.values():
        u = choice_energies(mixture, V)
        counts = graph @ np.eye(mixture.n_components)[mixture.labels_]
        prior = np.exp(0.5 * mixture.smoothness_ * counts)
        prior /= prior.sum(axis=1, keepdims=True)
        of_scores = np.log((prior * np.exp(-u)).sum(axis=1)).sum()
        assert of_scores == pytest.approx(mixture.lower_bounds_[-1] + constant, rel=1e-4)


def choice_energies(mixture, V):
    u = []
    for mean, covariance in zip(mixture.means_, mixture.covariances_, strict=True):
        d = V - mean
        distance = np.sum(d @ np.linalg.inv(covariance) * d, axis=1)
        u.append(0.5 * np.linalg.slogdet(covariance)[1] + 0.5 * distance)
    return np.column_stack(u)


def test_affine_maps_of_the_scores_change_nothing(quarters, fitted):
    V, graph, _ = quarters
    A = np.random.default_rng(1).normal(size=(4, 4)) * [100.0, 1.0, 0.01, 3.0]
    mapped = choose_n_domains(V @ A + 7.0, graph, [2, 3, 4, 6], n_subsamples=0, n_init=2)
    assert mapped.n_domains == fitted.n_domains
    for K in (2, 3, 4):
        assert adjusted_rand_score(mapped.mixtures[K].labels_, fitted.mixtures[K].labels_) == 1.0
    np.testing.assert_allclose(mapped.table["hbic"][:3], fitted.table["hbic"][:3], rtol=1e-6)


@pytest.mark.parametrize("criterion", choice.CRITERIA)
def test_finds_the_number_of_well_separated_domains(quarters, criterion):
    V, graph, y = quarters
    found = choose_n_domains(V, graph, range(1, 9), criterion=criterion, n_subsamples=0, n_init=2)
    assert found.n_domains == 4
    assert adjusted_rand_score(found.mixture.labels_, y) > 0.98


def test_finds_the_domains_of_simulated_tissue():
    target, source = tst.datasets.simulated_tissue(
        n_rows=24, n_cols=24, n_genes=120, n_domains=3, n_factors=6, noise=0.5, smoothness=0.8, random_state=1
    )
    tst.tl.transst(target, source, source_labels="label", n_domains=2, n_factors=6, n_neighbors=4, n_init=1)
    found = choose_n_domains(
        target.obsm["X_transst"],
        target.obsp["transst_connectivities"],
        range(2, 7),
        n_subsamples=0,
        n_init=3,
    )
    assert found.n_domains == 3
    assert adjusted_rand_score(found.mixture.labels_, target.obs["label"].cat.codes) > 0.9


def test_stability_peaks_at_the_domains_that_are_there(fitted):
    stability = fitted.table.set_index("n_domains")["stability"]
    assert stability.idxmax() == 4
    assert stability[4] > 0.95
    assert stability[6] < 0.95
    assert (fitted.table["stability_sd"] >= 0).all()


def test_stability_is_missing_where_nothing_can_be_compared(quarters):
    V, graph, _ = quarters
    off = choose_n_domains(V, graph, [2, 4, 5], n_subsamples=0, n_init=1)
    assert off.table[["stability", "stability_sd"]].isna().all(axis=None)
    one = choose_n_domains(V, graph, [1], n_subsamples=2, n_init=1)
    assert one.n_domains == 1
    assert one.table["stability"].isna().all()
    assert choice._agreement([np.array([0, 0, -1, -1]), np.array([-1, -1, 0, 0])]) == pytest.approx(
        (np.nan, np.nan), nan_ok=True
    )


def test_same_seed_same_answer(quarters, fitted):
    V, graph, _ = quarters
    again = choose_n_domains(V, graph, [6, 2, 4, 3, 4], criterion="hbic", n_subsamples=3, n_init=2)
    pd.testing.assert_frame_equal(again.table, fitted.table)
    other = choose_n_domains(V, graph, [3, 4, 6], n_subsamples=3, n_init=2, random_state=5)
    assert other.table["stability"][2] != fitted.table["stability"][3]


def test_without_a_graph(quarters):
    V, _, _ = quarters
    assert choose_n_domains(V, None, [3, 4, 5], n_subsamples=2, n_init=1).n_domains == 4
    with pytest.warns(UserWarning, match="no spot has a neighbour") as caught:
        choose_n_domains(V, sp.csr_matrix((400, 400)), [3, 4, 5], n_subsamples=2, n_init=1)
    assert len(caught) == 1


def test_auto_takes_the_slope_if_it_can(quarters):
    V, graph, _ = quarters
    auto = {"criterion": "auto", "n_subsamples": 0, "n_init": 1}
    assert choose_n_domains(V, graph, [3, 4, 5], **auto).criterion == "hbic"
    assert choose_n_domains(V, graph, [3, 4, 5, 6], **auto).criterion == "slope"


def test_a_candidate_with_an_empty_domain_cannot_win(quarters):
    table = pd.DataFrame({"n_domains": [2, 3], "hbic": [10.0, 5.0]})
    V, graph, _ = quarters
    mixtures = choose_n_domains(V, graph, [2, 3, 4, 5], n_subsamples=0, n_init=1).mixtures
    assert choice._smallest(table, "hbic", mixtures) == 3
    mixtures[3].labels_ = np.minimum(mixtures[3].labels_, 1)
    assert choice._smallest(table, "hbic", mixtures) == 2
    mixtures[2].labels_ = np.zeros(400, dtype=int)
    assert choice._smallest(table, "hbic", mixtures) == 3


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (
            [2, 3],
            "the best of the numbers of domains that were tried, 3, is the largest, so a larger one may be "
            "better; try a range that goes further, such as 2 to 6 (by `criterion` 'hbic', which sets how "
            "well the domains fit against how many parameters they have)",
        ),
        ([4, 5, 6], "were tried, 4, is the smallest, so a smaller one may be better; .* such as 2 to 6 "),
        ([6, 7, 8, 9], "were tried, 6, is the smallest, .* such as 3 to 9 "),
    ],
)
def test_a_choice_at_an_end_of_the_range_is_said(quarters, candidates, message):
    V, graph, _ = quarters
    message = message if ".*" in message else re.escape(message)
    with pytest.warns(UserWarning, match=message):
        choose_n_domains(V, graph, candidates, criterion="hbic", n_subsamples=0, n_init=2)


def test_nothing_is_said_where_no_range_can_go_further(quarters):
    """There are no fewer domains than one, and no more than spots."""
    V, graph, _ = quarters
    none = {"criterion": "bic", "n_subsamples": 0}
    assert choose_n_domains(V, graph, [1, 2], n_init=1, penalty_weight=1e3, **none).n_domains == 1
    assert choose_n_domains(V[:5], None, [2, 5], penalty_weight=1e-9, **none).n_domains == 5


def test_only_the_chosen_mixture_complains(quarters):
    V, graph, _ = quarters
    with pytest.warns(UserWarning, match="did not converge in 1 iterations") as caught:
        choose_n_domains(V, graph, [3, 4, 5], n_subsamples=0, n_init=1, max_iter=1)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"candidates": []}, ValueError, "`candidates` is empty"),
        ({"candidates": [0, 2]}, ValueError, "`candidates` must lie between 1 and the 400 spots, got 0"),
        ({"candidates": [2, 401]}, ValueError, "`candidates` must lie between 1 and the 400 spots, got 401"),
        ({"candidates": [2.5]}, TypeError, "`candidates` must hold whole numbers"),
        ({"candidates": [True]}, TypeError, "`candidates` must hold whole numbers"),
        ({"candidates": 4}, TypeError, "`candidates` must be a sequence"),
        ({"candidates": "34"}, TypeError, "`candidates` must be a sequence"),
        ({"criterion": "aic"}, ValueError, "`criterion`: unknown value 'aic'"),
        ({"criterion": "slope"}, ValueError, "'slope' needs at least 4 candidates, got 2"),
        ({"penalty_weight": 0.0}, ValueError, "`penalty_weight` must be positive"),
        ({"n_subsamples": 1}, ValueError, "`n_subsamples` must be 0, or at least 2"),
        ({"n_subsamples": -3}, ValueError, "`n_subsamples` must be 0, or at least 2"),
        ({"smoothness": -1.0}, ValueError, "`smoothness`"),
    ],
)
def test_bad_input(quarters, change, error, message):
    V, graph, _ = quarters
    with pytest.raises(error, match=message):
        choose_n_domains(V, graph, **{"candidates": [2, 3], "n_subsamples": 0, "n_init": 1} | change)


def test_check_candidates_names_the_callers_argument():
    assert check_candidates(range(2, 5), 10) == [2, 3, 4]
    assert check_candidates(np.array([3, 2, 3]), 10) == [2, 3]
    with pytest.raises(ValueError, match="`n_domains` is empty"):
        check_candidates([], 10, argument="n_domains")


def lines_of(ax, color):
    return [line for line in ax.lines if to_hex(line.get_color()) == color.lower()]


class TestPlot:
    @pytest.fixture(autouse=True)
    def _no_pyplot_state(self):
        yield
        assert pyplot.get_fignums() == []

    @pytest.fixture
    def adata(self, fitted):
        return ad.AnnData(
            np.zeros((2, 1)), uns={"transst": {"mixture": {}, "n_domains": choice_record(fitted)}}
        )

    def test_survives_the_file(self, adata, fitted, tmp_path):
        adata.write_h5ad(tmp_path / "a.h5ad")
        read = ad.read_h5ad(tmp_path / "a.h5ad")
        record = read.uns["transst"]["n_domains"]
        assert (record["chosen"], record["criterion"], record["penalty_weight"]) == (4, "hbic", 0.5)
        pd.testing.assert_frame_equal(pd.DataFrame(record["table"])[COLUMNS], fitted.table)
        assert n_domains(read).get_title() == "4 domains chosen"

    def test_curves(self, adata, fitted, tmp_path):
        ax = n_domains(adata)
        criterion, right = ax.figure.axes
        curve, mark = lines_of(criterion, CRITERION_COLOR)
        np.testing.assert_array_equal(curve.get_xdata(), [2, 3, 4, 6])
        np.testing.assert_array_equal(curve.get_ydata(), fitted.table["hbic"])
        assert mark.get_xdata() == [4]
        assert mark.get_ydata() == [fitted.table["hbic"].min()]
        stability = lines_of(right, STABILITY_COLOR)[0]
        np.testing.assert_array_equal(stability.get_ydata(), fitted.table["stability"])
        assert "HBIC" in criterion.get_ylabel()
        ax.figure.savefig(tmp_path / "a.png", dpi=60)

    def test_into_the_users_axes_and_without_stability(self, adata):
        table = adata.uns["transst"]["n_domains"]["table"]
        adata.uns["transst"]["n_domains"]["table"] = table | {"stability": np.full(4, np.nan)}
        mine = Figure().subplots()
        assert n_domains(adata, ax=mine) is mine
        assert mine.figure.axes == [mine]

    def test_no_record(self, adata):
        with pytest.raises(KeyError, match=r"run `tl\.transst` first"):
            n_domains(adata, key="other")
        del adata.uns["transst"]["n_domains"]
        with pytest.raises(KeyError, match="pass several candidates"):
            n_domains(adata)


def test_the_fits_run_without_warnings(quarters):
    V, graph, _ = quarters
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        choose_n_domains(V[:60], graph[:60][:, :60], [1, 2, 50], n_subsamples=2, n_init=1)


def test_progress_has_a_line_for_every_candidate(quarters, capsys):
    V, graph, _ = quarters
    options = {"n_subsamples": 2, "n_init": 1}
    choose_n_domains(V, graph, [1, 4, 5], **options)
    assert capsys.readouterr().out == ""
    choose_n_domains(V, graph, [1, 4, 5], verbose=True, **options)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("]   ")[1] for line in lines] == [
        "1 of 1 to 5 domains",
        "4 of 1 to 5 domains",
        "5 of 1 to 5 domains",
        "stability of 4 domains",
        "stability of 5 domains",
    ]
