"""Arrays of token ids that remember which words they number."""

import pickle

import joblib
import numpy as np
from numpy.testing import assert_array_equal
from sklearn.model_selection import train_test_split

from skmltc._token_ids import TokenIds, vocabulary_hash

KNOWN = vocabulary_hash(["milk", "rice"])
IDS = TokenIds.of(np.array([[3, 2], [2, 0], [1, 0]], dtype=np.int32), KNOWN)


def test_parts_and_copies_remember_the_words(tmp_path):
    joblib.dump(IDS, tmp_path / "ids")
    parts = train_test_split(IDS, random_state=0)
    again = pickle.loads(pickle.dumps(IDS))
    assert_array_equal(again, IDS)
    for part in (IDS, IDS[1:], IDS[[0, 2]], IDS.copy(), IDS.astype(np.int64), again, *parts):
        assert part.vocabulary == KNOWN
    assert TokenIds.of(IDS, "others").vocabulary == "others" and IDS.vocabulary == KNOWN


def test_what_is_computed_of_ids_is_a_plain_array_or_number():
    for other in (IDS + 1, IDS > 1, IDS.sum(axis=1), np.where(IDS < 3, IDS, 1), np.asarray(IDS)):
        assert type(other) is np.ndarray
    assert type(IDS.max()) is np.int32 and IDS.max() == 3


def test_they_look_like_arrays():
    assert repr(IDS) == repr(np.asarray(IDS)) and str(IDS) == str(np.asarray(IDS))


def test_vocabularies_are_told_apart():
    hashes = [
        vocabulary_hash(words) for words in (["a", "b"], ["b", "a"], ["ab"], ["a"], ["\ud800"])
    ]
    assert len(set(hashes)) == 5
