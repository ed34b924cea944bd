"""What the tests share: one torch thread, the real data, and a small made-up corpus."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils import Bunch

from skmltc.datasets import make_long_tailed_corpus
from skmltc.encoders import BiLSTMAttention, check_precision

# The arrays of the tests are small: threads cost more than they bring.
torch.set_num_threads(1)


# Tests compare with what they compute themselves, on the CPU: none but those marked sees a GPU.
_IS_THERE = torch.cuda.is_available
torch.cuda.is_available = lambda: False


def pytest_runtest_setup(item):
    """Let the tests that are marked see a GPU, and skip them without one."""
    if item.get_closest_marker("gpu") and not _IS_THERE():
        pytest.skip("needs a GPU")


@pytest.fixture(autouse=True)
def gpu(request, monkeypatch):
    """What torch says of a GPU."""
    if request.node.get_closest_marker("gpu"):
        monkeypatch.setattr(torch.cuda, "is_available", _IS_THERE)


@pytest.fixture(autouse=True)
def seeds():
    """What a test draws does not depend on those before it, nor on how they share processes."""
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_data():
    """Folder of the real data sets: SKMLTC_DATA, or ../shared/data beside the project."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("SKMLTC_DATA", default))
    if not folder.is_dir():
        pytest.skip("real data: give its folder as SKMLTC_DATA")
    return folder


@pytest.fixture(scope="session")
def skip_without_halves():
    """Skip a test of a recurrent encoder in bfloat16 where the CPU has no instructions for it."""

    def check(spec):
        if not isinstance(spec, BiLSTMAttention):
            return
        try:
            check_precision(torch.nn.LSTM(1, 1), "bfloat16", "cpu")
        except ValueError as error:
            pytest.skip(str(error))

    return check


@pytest.fixture(scope="session")
def documents():
    """Tf-idf features X and label indicators Y of 300 documents; not to be changed."""
    corpus = make_long_tailed_corpus(300, 12, n_words=30, random_state=0)
    X = TfidfVectorizer(max_features=500).fit_transform(corpus.data)
    return Bunch(X=X, Y=corpus.target, texts=corpus.data)


@pytest.fixture(scope="session")
def make_transformer(tmp_path_factory):
    """Make folders of tiny random transformers, over word pieces of the made-up corpus."""
    transformers = pytest.importorskip("transformers")

    def make(kind="Bert", seed=0, words=(), **options):
        folder = tmp_path_factory.mktemp("transformer")
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        pieces = [*syllables, *(f"##{piece}" for piece in syllables), *"abc", *words]
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces]
        (folder / "vocab.txt").write_text("\n".join(vocabulary))
        vocab = {word: k for k, word in enumerate(vocabulary)}
        transformers.BertTokenizer(vocab=vocab, model_max_length=60).save_pretrained(folder)
        sizes = {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "vocab_size": 200,
            "max_position_embeddings": 64,
        }
        config = getattr(transformers, f"{kind}Config")(**sizes | options)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def transformer(make_transformer):
    """Folder of a tiny random BERT; not to be changed."""
    return make_transformer()
