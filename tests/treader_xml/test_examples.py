"""The example of TReaderXML runs."""

import runpy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import skmltc
from skmltc import TReaderXMLClassifier, datasets

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_example_shows_the_evidence_of_the_neighbours(monkeypatch):
    pytest.importorskip("pandas")
    plt = pytest.importorskip("matplotlib.pyplot")
    make, small = datasets.make_long_tailed_corpus, {"n_samples": 240, "n_labels": 14}
    monkeypatch.setattr(
        datasets, "make_long_tailed_corpus", lambda **options: make(**options | small)
    )
    brief = partial(TReaderXMLClassifier, max_epochs=1)
    monkeypatch.setattr(skmltc, "TReaderXMLClassifier", brief)
    made = runpy.run_path(str(EXAMPLES / "plot_8_neighbours.py"))
    bars = made["ax"].patches
    plt.close("all")
    assert_array_equal([bar.get_width() for bar in bars], np.sort(made["scope"])[-12:])
    alone, votes, both = made["models"].values()
    assert alone[-1].module_.vote_weight is None and votes[-1].module_.vote_weight is not None
    assert votes[-1].module_.body.teacher is None and both[-1].module_.body.teacher is not None
    assert list(made["rows"]) == ["text alone", "with votes", "with teacher and votes"]
