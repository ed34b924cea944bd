"""TReaderXML: a text is read with the labels of similar documents."""

from ._estimator import TReaderXMLClassifier

__all__ = ["TReaderXMLClassifier"]
