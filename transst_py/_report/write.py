"""`report`: all results of an AnnData on one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from anndata import AnnData

import transst_py
from transst_py._core.atomic import written_whole
from transst_py._core.typing import SpatialDataLike
from transst_py._core.validation import check_names, list_some
from transst_py._report import domain_sections, gene_sections
from transst_py._report.page import render
from transst_py._report.subject import Subject
from transst_py.pl._genes import shown_names
from transst_py.pl._images import find_images
from transst_py.pl._panels import find_samples
from transst_py.tl._gate import check_anndata, check_obs_column
from transst_py.tl._record import as_written, is_fit_record

__all__ = ["ADVICE", "report"]

# What to call for the data that a section lacks.
ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "domains": "tst.tl.transst(adata, n_domains=range(2, 11))",
        "confidence": "tst.tl.transst(adata, n_domains=range(2, 11))",
        "n_domains": "tst.tl.transst(adata, n_domains=range(2, 11))",
        "transfer": 'tst.tl.transst(adata, source, source_labels="label", n_domains=...)',
        "convergence": "tst.tl.transst(adata, n_domains=range(2, 11))",
        "agreement": 'tst.report(adata, path, labels="a column of adata.obs")',
        "markers": "tst.tl.rank_domain_genes(adata)",
        "imputation": "tst.report(adata, path, imputed=tst.tl.impute(adata))",
        "run": "tst.tl.transst(adata, n_domains=range(2, 11))",
    }
)
SECTIONS = (
    domain_sections.summary,
    domain_sections.domain_map,
    domain_sections.confidence,
    domain_sections.choice_of_number,
    domain_sections.transfer,
    domain_sections.convergence,
    domain_sections.agreement,
    gene_sections.markers,
    gene_sections.imputation,
    domain_sections.run,
)


def report(
    adata: AnnData | SpatialDataLike,
    path: str | Path,
    *,
    key: str = "transst",
    spatial_key: str | None = None,
    sample_key: str | None = None,
    labels: str | None = None,
    genes: Sequence[str] | None = None,
    gene_symbols: str | None = None,
    imputed: AnnData | SpatialDataLike | None = None,
    image: bool | str | None = None,
    title: str | None = None,
    advice: Mapping[str, str] = ADVICE,
) -> Path:
    """Write all results to one HTML file, which needs no other file and no network.

    What there is: sizes and maps of the domains, their confidence, the choice of their number, the transfer
    from the source, convergence, agreement with given labels, marker genes, imputed expression; parameters,
    seed, versions, warnings, timings. A section without data names the call that would fill it.

    Parameters
    ----------
    adata
        Result of `tl.transst` or `tl.impute`. Of a SpatialData: its only table.
    path
        The file; an old one is replaced.
    key
        Name of the result.
    spatial_key, sample_key
        Key of the coordinates in `obsm`, and column of `obs` with the samples, a panel each; None: those that
        the domains were found with.
    labels
        Column of `adata.obs` to compare the domains with.
    genes
        Genes to draw after imputation, by name or symbol; None is a few of the best markers.
    gene_symbols
        Column of `adata.var` with the names of genes to show; None shows `var_names`.
    imputed
        What `tl.impute` returned, if that is another AnnData; None is `adata`, if values were imputed there.
    image
        Image of the tissue behind the domains; see `pl.domains`.
    title
        Heading; None is a usual one.
    advice
        The call that fills a section, by its name, where that is not to be a Python call.

    Returns
    -------
    The path.

    Raises
    ------
    TypeError, KeyError, ValueError
        Bad input; the message names the argument, what was found and what to do.
    FileNotFoundError, IsADirectoryError
        `path` is in a folder that does not exist, or a folder itself. No file is written in any of these
        cases.
    """
    path = _check_path(path)
    subject = _check(
        adata, key, spatial_key, sample_key, labels, genes, gene_symbols, imputed, image, {**ADVICE, **advice}
    )
    page = render(
        _usual_title(subject) if title is None else title,
        f"{subject.adata.n_obs:,} spots; TransST {transst_py.__version__}, {date.today().isoformat()}",
        [section(subject) for section in SECTIONS],
    )
    with written_whole(path) as file:
        file.write(page.encode("utf-8"))
    return path


def _usual_title(subject: Subject) -> str:
    return "Spatial domains" if subject.fit is not None else "Imputed expression"


def _check_path(path: str | Path) -> Path:
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"`path` is a folder: {str(path)!r}; give the name of a file in it")
    if path.suffix.lower() not in ("", ".html", ".htm"):
        raise ValueError(
            f"`path`: a report is an HTML page, not {path.suffix!r}; name it {path.stem + '.html'!r}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"`path`: there is no folder {str(path.parent)!r}; make it first")
    return path


def _check(
    adata: Any,
    key: str,
    spatial_key: str | None,
    sample_key: str | None,
    labels: str | None,
    genes: Sequence[str] | None,
    gene_symbols: str | None,
    imputed: AnnData | SpatialDataLike | None,
    image: bool | str | None,
    advice: Mapping[str, str],
) -> Subject:
    """Refuse whatever would fail once half of the page is drawn."""
    adata = check_anndata(adata)
    imputed = None if imputed is None else check_anndata(imputed, what="imputed")
    fit = adata.uns.get(key)
    fit = as_written(fit) if is_fit_record(fit) else None
    if imputed is None and "imputation" in adata.uns:
        imputed = adata
    if fit is None and imputed is None:
        raise KeyError(
            f"`key`: adata.uns has no record {key!r} of a fit, nor one of an imputation; it has "
            f"{list_some(list(adata.uns)) or 'none'}. Run `tl.transst` first"
        )
    if fit is not None:
        check_obs_column(adata, key, argument="key")
    params = {} if fit is None else fit["params"]
    sample_key = params.get("sample_key") if sample_key is None else sample_key
    find_images(adata, image, [name for name, _ in find_samples(adata, sample_key, None)])
    if labels is not None:
        check_obs_column(adata, labels, argument="labels")
    shown_names(adata, gene_symbols)
    check_names("genes", genes)
    _check_imputed(imputed, genes, gene_symbols)
    return Subject(
        adata,
        key,
        fit,
        str(params.get("spatial_key", "spatial") if spatial_key is None else spatial_key),
        sample_key,
        labels,
        genes,
        gene_symbols,
        image,
        imputed,
        advice,
    )


def _check_imputed(imputed: AnnData | None, genes: Sequence[str] | None, gene_symbols: str | None) -> None:
    if imputed is None:
        if genes is not None:
            raise ValueError("`genes` are drawn after imputation, and nothing was imputed; leave them out")
        return
    if "imputation" not in imputed.uns:
        raise KeyError("`imputed`: its uns has no record of an imputation; give what `tl.impute` returned")
    known = {str(gene) for gene in np.atleast_1d(imputed.uns["imputation"]["genes"])}
    if gene_symbols in imputed.var:
        names = shown_names(imputed, gene_symbols)
        known |= set(names[imputed.var_names.isin(known)])
    unknown = [gene for gene in genes or () if gene not in known]
    if unknown:
        raise KeyError(f"`genes`: nothing was imputed for {list_some(unknown)}")
