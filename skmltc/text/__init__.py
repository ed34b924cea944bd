"""Texts to sequences of token ids, and pretrained vectors of their words.

Id 0 is padding, 1 an unknown word, and words are numbered from 2 up.
"""

from ._pretrained import PretrainedEmbedder, PretrainedTokenizer
from ._vectorizer import TokenSequenceVectorizer
from ._word_vectors import WordVectors

__all__ = ["PretrainedEmbedder", "PretrainedTokenizer", "TokenSequenceVectorizer", "WordVectors"]
