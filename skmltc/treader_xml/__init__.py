"""TReaderXML: the labels of similar documents, read beside a text."""

from ._estimator import TReaderXMLClassifier

__all__ = ["TReaderXMLClassifier"]
