"""The form of y."""

from __future__ import annotations

from scipy import sparse


def form_of(y):
    """Name the form of y: "dense", "array" (scipy sparse array) or "matrix" (sparse matrix)."""
    if not sparse.issparse(y):
        return "dense"
    return "array" if isinstance(y, sparse.sparray) else "matrix"


def in_form(prediction, form):
    """Give a csr_array the form in which y came."""
    if form == "dense":
        return prediction.toarray()
    return sparse.csr_matrix(prediction) if form == "matrix" else prediction
