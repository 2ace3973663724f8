import hashlib
import os
import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from transst_py.datasets import DataUnavailableError, _files, _her2st, her2st, simulated_tissue
from transst_py.datasets._simulated import sample_potts
from transst_py.expression.normalize import log_normalize

real_data = pytest.mark.skipif(
    not os.environ.get("TRANSST_DATA_DIR"), reason="set TRANSST_DATA_DIR to the folder with the her2st files"
)


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty cache and a server that refuses every connection."""
    monkeypatch.setattr(_files.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(_her2st, "BASE_URL", "http://127.0.0.1:9/")
    return "http://127.0.0.1:9/"


class TestFetch:
    def test_own_folder_comes_first(self, monkeypatch, tmp_path, no_network):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "a.tsv").write_text("hello")
        monkeypatch.setenv("TRANSST_DATA_DIR", str(tmp_path))
        found = _files.fetch("data/a.tsv", registry={"data/a.tsv": sha256("hello")}, base_url=no_network)
        assert found == tmp_path / "data" / "a.tsv"

    def test_wrong_content_names_file_and_both_hashes(self, monkeypatch, tmp_path, no_network):
        (tmp_path / "a.tsv").write_text("tampered")
        monkeypatch.setenv("TRANSST_DATA_DIR", str(tmp_path))
        with pytest.raises(ValueError, match="is not the published file") as error:
            _files.fetch("a.tsv", registry={"a.tsv": sha256("hello")}, base_url=no_network)
        for part in (str(tmp_path / "a.tsv"), sha256("tampered"), sha256("hello")):
            assert part in str(error.value)

    @pytest.mark.parametrize("data_dir", [None, "there"])
    def test_nowhere_says_what_to_do(self, monkeypatch, tmp_path, no_network, data_dir):
        (tmp_path / "there").mkdir()
        if data_dir is None:
            monkeypatch.delenv("TRANSST_DATA_DIR", raising=False)
        else:
            monkeypatch.setenv("TRANSST_DATA_DIR", str(tmp_path / data_dir))
        with pytest.raises(DataUnavailableError, match=r"set TRANSST_DATA_DIR .*simulated_tissue"):
            her2st("H1")

    def test_mistyped_folder_is_not_ignored(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TRANSST_DATA_DIR", str(tmp_path / "typo"))
        with pytest.raises(DataUnavailableError, match=r"typo.*no folder"):
            her2st("H1")

    def test_download_is_verified_and_cached(self, monkeypatch, tmp_path):
        monkeypatch.delenv("TRANSST_DATA_DIR", raising=False)
        monkeypatch.setattr(_files.pooch, "os_cache", lambda name: tmp_path / "cache")
        downloads = []

        def serve(url, output_file, pooch):
            downloads.append(url)
            with open(output_file, "w") as file:
                file.write("hello")

        monkeypatch.setattr(_files.pooch.core, "choose_downloader", lambda url, **kwargs: serve)
        for _ in range(2):
            path = _files.fetch("d/a.tsv", registry={"d/a.tsv": sha256("hello")}, base_url="https://x/")
            assert path.read_text() == "hello"
        assert downloads == ["https://x/d/a.tsv"]
        with pytest.raises(ValueError, match="hash"):
            _files.fetch("d/b.tsv", registry={"d/b.tsv": sha256("other")}, base_url="https://x/")

    def test_registry_covers_all_sections(self):
        registry = _files.read_registry("her2st_registry.txt")
        kinds = pd.Series(registry.keys()).str.split("/").str[1].value_counts().to_dict()
        assert kinds == {"ST-cnts": 36, "ST-spotfiles": 36, "ST-pat": 8}
        assert all(len(value) == 64 for value in registry.values())


class TestHer2st:
    @pytest.fixture
    def small_section(self, monkeypatch, tmp_path):
        """Section Z1: a spot that is not selected, one without counts, one without label."""
        texts = {
            "data/ST-cnts/Z1.tsv": "\tG1\tG2\n3x7\t1\t0\n2x7\t0\t5\n9x9\t4\t4\n4x8\t2\t2\n",
            "data/ST-spotfiles/Z1_selection.tsv": (
                "x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n"
                "2\t7\t2.1\t7.1\t20.5\t70.5\t1\n3\t7\t2.9\t7.0\t30.5\t71.5\t1\n"
                "4\t8\t4.0\t8.0\t40.5\t80.5\t0\n1\t1\t1.0\t1.0\t10.5\t10.5\t1\n"
            ),
            "data/ST-pat/lbl/Z1_labeled_coordinates.tsv": (
                "Row.names\tx\ty\tpixel_x\tpixel_y\tlabel\na\t2.1\t7.1\t1\t1\tundetermined\nb\t\t\t1\t1\tadipose\n"
            ),
        }
        for path, text in texts.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        registry = {path.replace("Z1.tsv", "Z1.tsv.gz"): path for path in texts}
        monkeypatch.setattr(_her2st, "read_registry", lambda name: registry)
        monkeypatch.setattr(_her2st, "fetch", lambda path, **kwargs: tmp_path / registry[path])
        return registry

    def test_files_are_aligned_by_position(self, small_section):
        adata = her2st("Z1")
        assert adata.obs_names.tolist() == ["3x7", "2x7"]
        assert adata.obs["array_row"].tolist() == [7, 7]
        assert adata.obs["array_col"].tolist() == [3, 2]
        assert adata.obs["label"].isna().tolist() == [True, False]
        assert adata.obs["label"].iloc[1] == "undetermined"
        np.testing.assert_array_equal(adata.obsm["spatial"], [[30.5, 71.5], [20.5, 70.5]])
        np.testing.assert_array_equal(adata.X.toarray(), [[1, 0], [0, 5]])

    def test_section_without_labels_has_no_column(self, small_section):
        del small_section["data/ST-pat/lbl/Z1_labeled_coordinates.tsv"]
        assert "label" not in her2st("Z1").obs

    def test_unknown_section_lists_the_known_ones(self):
        with pytest.raises(ValueError, match=r"no section 'Z9'.*A1, A2, .*H3"):
            her2st("Z9")

    @real_data
    @pytest.mark.parametrize(
        ("section", "shape", "labels"),
        [
            (
                "H1",
                (613, 15029),
                {
                    "connective tissue": 169,
                    "adipose tissue": 112,
                    "cancer in situ": 97,
                    "invasive cancer": 90,
                    "undetermined": 83,
                    "breast glands": 39,
                    "immune infiltrate": 23,
                },
            ),
            (
                "C1",
                (176, 15557),
                {"invasive cancer": 127, "connective tissue": 37, "undetermined": 9, "adipose tissue": 3},
            ),
        ],
    )
    def test_public_sections(self, section, shape, labels):
        adata = her2st(section)
        assert adata.shape == shape
        assert adata.obs["label"].value_counts().to_dict() == labels
        assert sp.isspmatrix_csr(adata.X)
        assert adata.X.dtype == np.float32
        assert (adata.X.data == np.round(adata.X.data)).all()
        names = adata.obs["array_col"].astype(str) + "x" + adata.obs["array_row"].astype(str)
        assert adata.obs_names.tolist() == names.tolist()
        # Pixels follow the lattice: the columns run along x, the rows along y.
        for axis, column in enumerate(["array_col", "array_row"]):
            assert np.corrcoef(adata.obsm["spatial"][:, axis], adata.obs[column])[0, 1] > 0.999

    @real_data
    def test_public_section_without_labels(self, tmp_path):
        adata = her2st("B2")
        assert adata.n_obs == 270
        assert "label" not in adata.obs
        adata.write_h5ad(tmp_path / "b2.h5ad")


class TestPotts:
    def test_independent_without_coupling(self):
        field = sample_potts(np.random.default_rng(0), (60, 60), 3, coupling=0.0, n_sweeps=2)
        agree = (field[1:] == field[:-1]).mean()
        assert agree == pytest.approx(1 / 3, abs=0.03)

    def test_two_states_match_exact_enumeration(self):
        """On a 2 x 2 ring, P(y) is proportional to exp(b * agreeing edges), summed over 16 states."""
        b, rng = 0.7, np.random.default_rng(1)
        edges = [(0, 1), (2, 3), (0, 2), (1, 3)]
        states = np.array(np.unravel_index(np.arange(16), (2, 2, 2, 2))).T
        agreeing = np.array([sum(y[i] == y[j] for i, j in edges) for y in states])
        weights = np.exp(b * agreeing)
        expected = (weights * agreeing).sum() / weights.sum()
        drawn = [sample_potts(rng, (2, 2), 2, coupling=b, n_sweeps=8).ravel() for _ in range(2000)]
        found = np.mean([sum(y[i] == y[j] for i, j in edges) for y in drawn])
        assert found == pytest.approx(expected, abs=0.08)

    def test_smoothness_grows_with_coupling(self):
        agree = [
            np.mean(
                np.diff(sample_potts(np.random.default_rng(0), (40, 40), 4, coupling=b, n_sweeps=50)) == 0
            )
            for b in (0.0, 0.5, 1.0)
        ]
        assert agree[0] < agree[1] - 0.05 < agree[2] - 0.1


class TestSimulatedTissue:
    def test_layout(self):
        for adata in simulated_tissue(
            n_rows=8, n_cols=9, n_genes=20, n_factors=5, n_domains=3, smoothness=0.3
        ):
            assert adata.shape == (72, 20)
            assert sp.isspmatrix_csr(adata.X)
            assert adata.X.dtype == np.float32
            assert (adata.X.data == np.round(adata.X.data)).all()
            assert adata.X.min() >= 0
            assert adata.obs["label"].cat.categories.tolist() == ["domain 1", "domain 2", "domain 3"]
            assert adata.obs["label"].nunique() == 3
            order = adata.obs[["array_col", "array_row"]].to_numpy()
            np.testing.assert_allclose(adata.obsm["spatial"], order * 100.0)

    def test_domains_can_be_recovered(self):
        for adata in simulated_tissue(random_state=0):
            X = log_normalize(adata.X, target_sum=1000.0).toarray()
            scores = PCA(10, random_state=0).fit_transform((X - X.mean(axis=0)) / X.std(axis=0))
            found = GaussianMixture(4, n_init=5, random_state=0).fit_predict(scores)
            assert adjusted_rand_score(adata.obs["label"], found) > 0.8

    def test_seed_decides_everything(self):
        first, again, other = (simulated_tissue(n_rows=8, n_cols=8, random_state=s)[0] for s in (3, 3, 4))
        assert (first.X != again.X).nnz == 0
        assert first.obs["label"].tolist() == again.obs["label"].tolist()
        assert (first.X != other.X).nnz > 0

    @staticmethod
    def loading_agreement(shared_loadings):
        """Correlation of gene-gene covariances between target and source."""
        covariances = []
        for adata in simulated_tissue(n_genes=60, noise=1.0, shared_loadings=shared_loadings):
            # Genes beyond the first ten have no factor of their own, only W's random part.
            covariance = np.corrcoef(np.log1p(adata.X.toarray()[:, 10:]).T)
            covariances.append(covariance[np.triu_indices_from(covariance, 1)])
        return np.corrcoef(covariances)[0, 1]

    def test_unrelated_source_shares_no_loadings(self):
        assert self.loading_agreement(True) > 0.8
        assert abs(self.loading_agreement(False)) < 0.4

    def test_is_fast_and_writable(self, tmp_path):
        start = time.perf_counter()
        target, _ = simulated_tissue()
        assert time.perf_counter() - start < 3.0
        target.write_h5ad(tmp_path / "target.h5ad")

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"n_rows": 2}, "at least 3"),
            ({"n_domains": 1}, "n_domains"),
            ({"n_domains": 11}, "between 2 and `n_factors` = 10"),
            ({"n_genes": 5}, "n_genes"),
            ({"noise": 0.05}, "noise"),
            ({"smoothness": -1.0}, "smoothness"),
            ({"mean_count": 0.0}, "mean_count"),
            ({"n_domains": 10, "n_rows": 3, "n_cols": 3}, "lower `smoothness`"),
        ],
    )
    def test_bad_parameters(self, wrong, message):
        with pytest.raises(ValueError, match=message):
            simulated_tissue(**wrong)
