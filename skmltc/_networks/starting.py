"""Networks that begin as linear models of their labels."""

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import norm as sparse_norm
from sklearn.utils.extmath import randomized_svd

from .._linear import Solver, solve_linear
from .._validation import known_labels
from ..labels import NEVER_LOGIT

_WEIGHT_DECAY = 0.03  # of the linear models
_TOLERANCE = 1e-3  # training goes on from there


@torch.no_grad()
def start_as_linear_models(encoder, head, loss, documents, device):
    """Start a linear layer and a head together as the linear models of all labels.

    The weights W of the models have a factorization U S V' diag(norms), where norms are those of
    the labels' weights: so the weights of rare labels, which are small, are not the ones that a
    layer leaves out if it is narrow. The layer starts as U sqrt(S), so long that vectors of
    documents have norm 1 in the mean, the head as the rest. Dimensions beyond the number of labels
    are 0, and stay so where nothing else reads them.

    Parameters
    ----------
    encoder : nn.Sequential
        Begins with the layer, a `FeatureLinear`; the rest is linear, dropout aside.
    head : nn.Linear
        Started already. It may take fewer dimensions, the first ones. Its biases become those of
        the models, if they can learn.
    loss : loss spec
    documents : Documents
    device : str
    """
    with known_labels():
        solver = Solver(loss, weight_decay=_WEIGHT_DECAY, device=device, tol=_TOLERANCE)
        models, _ = solve_linear(documents.X, documents.Y, solver)
    weight = encoder[0].weight.zero_()
    layer, rest = _halves(models.weights, min(weight.shape[1], head.in_features))
    length = np.sqrt(np.mean(np.sum(np.square(documents.X @ layer), axis=1))) or 1.0
    dims = slice(layer.shape[1])
    weight[:, dims] = torch.from_numpy(layer / length)
    head.weight.zero_()[:, dims] = torch.from_numpy(rest * length)
    if head.bias.requires_grad:
        intercepts = torch.from_numpy(models.intercepts).to(head.bias.device)
        head.bias.copy_(torch.where(intercepts > NEVER_LOGIT, intercepts, head.bias))


def _halves(weights, n_dims):
    """Matrices (n_features, n_dims) and (n_labels, n_dims), whose product is about the weights."""
    norm = sparse_norm if sparse.issparse(weights) else np.linalg.norm
    norms = norm(weights, axis=0)
    unit = weights * (1 / np.where(norms > 0, norms, 1))
    U, S, V = randomized_svd(unit, min(n_dims, *weights.shape), random_state=0)
    roots = np.sqrt(S)
    return U * roots, norms[:, None] * V.T * roots
