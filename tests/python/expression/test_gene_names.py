"""Genes of a source under the names that the target has for them."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import transst_py as tst
from transst_py.expression.gene_names import names_of_target


def genes(names, **columns):
    var = pd.DataFrame(columns, index=list(names))
    return ad.AnnData(np.zeros((1, len(names)), dtype=np.float32), var=var)


def test_equal_names_are_left_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = names_of_target(genes(["A", "B", "C"]), genes(["C", "A"]), "s")
        assert found.tolist() == ["C", "A"]
        names_of_target(genes(list("ABCDEFGH")), genes(["A", "B"]), "s")  # a panel shares all that it has


def test_versions_of_identifiers_do_not_count():
    target, source = genes(["ENSG01", "ENSG02.3", "X.1"]), genes(["ENSG01.5", "ENSG02.7", "X.2"])
    with pytest.warns(
        UserWarning, match="2 genes differ from the target's in the version .* taken for the same"
    ):
        assert names_of_target(target, source, "s").tolist() == ["ENSG01", "ENSG02.3", "X.2"]


def test_case_does_not_count_where_most_names_agree():
    target, source = genes(["C1orf1", "TP53", "ACTB"]), genes(["C1ORF1", "TP53", "ACTB"])
    with pytest.warns(
        UserWarning, match=r"1 genes differ .* in letter case only \(such as 'C1ORF1' and 'C1orf1'"
    ):
        assert names_of_target(target, source, "s").tolist() == ["C1orf1", "TP53", "ACTB"]


def test_another_species_is_not_taken_for_the_same():
    target, source = genes(["Actb", "Trp53", "Gapdh"]), genes(["ACTB", "TP53", "GAPDH"])
    with pytest.warns(UserWarning, match="2 genes .* not matched, since this may mean another species"):
        assert not names_of_target(target, source, "s").isin(target.var_names).any()


def test_other_columns_are_used_where_names_share_little():
    target = genes(["ENSG01", "ENSG02", "ENSG03", "ENSG04"])
    source = genes(["B", "A", "Z", "A2"], gene_ids=["ENSG02.1", "ENSG01.1", "ENSG09.1", "ENSG01.2"])
    # ENSG01 occurs twice in the source: that gene is not certain.
    with pytest.warns(UserWarning, match="source 's'") as told:
        found = names_of_target(target, source, "s")
    assert found.tolist() == ["ENSG02", "A", "Z", "A2"]
    assert "1 genes are matched by its var['gene_ids'] and the target's var_names" in str(told[0].message)
    assert "only 1 of its 4 genes are among the 4 of the target" in str(told[1].message)


def test_a_name_of_another_gene_of_the_target_is_not_matched():
    target = genes(["A", "B", "C", "D"], gene_ids=["1", "2", "3", "4"])
    source = genes(["X", "Y", "Z", "A"], gene_ids=["2", "3", "4", "9"])
    with pytest.warns(UserWarning, match="matched by its var"):
        assert names_of_target(target, source, "s").tolist() == ["B", "C", "D", "A (of the source)"]


def test_much_fewer_genes_than_could_be_are_said():
    target, source = genes([f"g{i}" for i in range(10)]), genes([f"g{i}" for i in range(8, 20)])
    with pytest.warns(UserWarning, match="only 2 of its 12 genes are among the 10 of the target"):
        names_of_target(target, source, "s")


def test_the_fit_is_that_of_the_same_names(tissue):
    target, source = (part.copy() for part in tissue)
    options = {
        "source_labels": "label",
        "n_domains": 3,
        "n_factors": 4,
        "n_init": 2,
        "n_folds": 2,
        "copy": True,
    }
    expected = tst.tl.transst(target, source, **options)
    renamed = source[:, ::-1].copy()
    renamed.var["gene_name"] = renamed.var_names
    renamed.var_names = [f"ENSG{i:05d}" for i in range(renamed.n_vars)]
    with pytest.warns(UserWarning, match="matched by its var"):
        found = tst.tl.transst(target, renamed, **options)
    assert found.obs["transst"].equals(expected.obs["transst"])
    np.testing.assert_allclose(found.varm["transst_loadings"], expected.varm["transst_loadings"])
