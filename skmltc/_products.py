"""Products with dense factors, which do not depend on how they are cut into blocks."""

import warnings

import numpy as np
import torch
from scipy import sparse
from torch.nn.functional import embedding_bag, pad

_ROWS, _COLUMNS = 256, 64  # of a dense product


def csr_dot(indptr, indices, values, factor):
    """The product of a CSR matrix with a dense one.

    Embedding bags read each row of the dense factor once and with vector instructions (about
    three times scipy's speed on one core).

    Parameters
    ----------
    indptr, indices, values : tensors of shape (n_rows + 1,), (n_entries,) and (n_entries,)
    factor : tensor of shape (n_columns, n)

    Returns
    -------
    tensor of shape (n_rows, n)
    """
    factor = factor.reshape(-1).view(factor.shape)  # of other strides bags are summed otherwise
    return embedding_bag(
        indices, factor, indptr, mode="sum", per_sample_weights=values, include_last_offset=True
    )


def csr_tensors(matrix, device, dtype=np.float32):
    """The arrays of a CSR matrix as tensors: indptr, indices, and values of a dtype."""
    index_type = np.int32 if matrix.nnz < 2**31 else np.int64
    arrays = (
        matrix.indptr.astype(index_type),
        matrix.indices.astype(index_type),
        np.require(matrix.data, dtype, "W"),
    )
    return [torch.from_numpy(array).to(device) for array in arrays]


def csr_tensor(matrix):
    """A CSR matrix as a CSR tensor of float32; its arrays are copied."""
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data.astype(np.float32)),
        size=matrix.shape,
        check_invariants=False,
    )


# Torch warns of the first CSR tensor of a process. To catch that at every one would change the
# filters of all threads, so the first one is made here.
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")
    csr_tensor(sparse.csr_array((1, 1)))


def sparse_dot(rows, weights):
    """The dense product of two CSR matrices.

    MKL, where torch has it, makes it dense in a third of the time that scipy takes for a sparse
    product: that of documents with the weights of thousands of labels has few zeros.

    Parameters
    ----------
    rows : csr_array of shape (n_rows, n)
    weights : csr_array of shape (n, n_columns)

    Returns
    -------
    array of float32 of shape (n_rows, n_columns)
    """
    shape = rows.shape[0], weights.shape[1]
    few = max(rows.nnz, weights.nnz, *rows.shape, *weights.shape) < 2**31
    if not (torch.backends.mkl.is_available() and few and rows.nnz and weights.nnz):
        return (rows @ weights).toarray().astype(np.float32)
    factors = (
        torch.sparse_csr_tensor(*csr_tensors(one, "cpu"), size=one.shape, check_invariants=False)
        for one in (rows, weights)
    )
    return torch.addmm(torch.zeros(shape), *factors, beta=0).numpy()


def dense_dot(vectors, weights):
    """Vectors @ weights in blocks of one shape.

    The order in which a product sums depends on the shapes of its factors, so a score would
    differ in the last bit with the other documents and labels of its block.

    Parameters
    ----------
    vectors : tensor of shape (n_samples, dim)
    weights : tensor of shape (dim, n_labels)

    Returns
    -------
    tensor of shape (n_samples, n_labels)
    """
    n_rows, n_columns = len(vectors), weights.shape[1]
    vectors = pad(vectors, (0, 0, 0, -n_rows % _ROWS))
    weights = pad(weights, (0, -n_columns % _COLUMNS))
    blocks = [part.contiguous() for part in weights.split(_COLUMNS, dim=1)]
    rows = [torch.cat([part @ block for block in blocks], 1) for part in vectors.split(_ROWS)]
    return torch.cat(rows)[:n_rows, :n_columns]
