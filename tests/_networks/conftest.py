"""Texts and features that the tests of networks share, and small networks."""

import numpy as np
import pytest
import torch
from scipy import sparse

from skmltc.decision import Documents
from skmltc.encoders import BagEncoder, BiLSTMAttention, TextCNN, build_network


def texts(n_samples, longest=60, n_ids=30, seed=0):
    """Token ids of texts of all lengths, many short and few long."""
    rng = np.random.RandomState(seed)
    lengths = np.clip(rng.geometric(4 / longest, n_samples), 1, longest)
    token_ids = rng.randint(1, n_ids, (n_samples, longest)).astype(np.int32)
    return token_ids * (np.arange(longest) < lengths[:, None])


def network_of(encoder=None, seed=0, **parameters):
    """A network of three labels: of an encoder of 30 words, or a hidden layer on 12 features."""
    torch.manual_seed(seed)
    if encoder is not None:
        return build_network(encoder, 30, 3)
    return build_network(BagEncoder(**{"hidden_dims": (5,), "dropout": 0.0} | parameters), 12, 3)


@pytest.fixture(scope="package")
def make_texts():
    return texts


@pytest.fixture(scope="package")
def make_network():
    return network_of


@pytest.fixture(
    scope="package",
    params=[
        TextCNN(filter_sizes=(2, 3), n_filters=8, embedding_dim=8, hidden_dim=8),
        BiLSTMAttention(hidden_dim=8, output_dim=8, embedding_dim=8),
    ],
    ids=repr,
)
def token_encoder(request):
    return request.param


@pytest.fixture(scope="package")
def problem():
    """Sixty-seven documents of three labels that follow the features, and a validation part."""
    rng = np.random.RandomState(0)
    X = sparse.csr_array((rng.rand(90, 12) * (rng.rand(90, 12) < 0.4)).astype(np.float32))
    Y = X @ rng.randn(12, 3) > 0.5
    documents = Documents(X, sparse.csr_array(Y.astype(np.float32)))
    return documents[:67], documents[67:]


@pytest.fixture(scope="package")
def token_problem():
    """Texts that have a label if they hold its word, and a validation part."""
    X = texts(260)
    Y = np.stack([(X == word).any(axis=1) for word in (3, 7, 11)], axis=1)
    documents = Documents(X, sparse.csr_array(Y.astype(np.float32)))
    return documents[:200], documents[200:]


@pytest.fixture(scope="package")
def numbered_sides():
    """Of so many documents, three columns with the number of each, from 1 up; some have none."""

    def make(n_samples):
        numbers = np.arange(1, n_samples + 1, dtype=np.float32) * (np.arange(n_samples) % 4 > 0)
        return sparse.csr_array(np.tile(numbers[:, None], 3))

    return make
