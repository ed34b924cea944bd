"""How far probabilities can be read as frequencies, and what a cut at 0.5 gives.

A row has "sum", all probabilities of test documents over their labels; "ece" and "tail ece", the
expected calibration error in 15 bins of equally many pairs of a document and a label whose
probability is above 0.01; and "predicted", pairs above 0.5 per true one.
"""

from bench import Row
from bench.rows import PAPERS_OF_REUTERS

NETWORKS = ("HybridSiameseClassifier", "HeadToTailClassifier", "TReaderXMLClassifier")
LINEAR = "BalancedLossClassifier"


def row(estimator, dataset, **options):
    settings = {"parameters": {"threshold": 0.5}, "calibration": True}
    return Row(estimator, dataset, "tfidf", estimator, **settings, **options)


ROWS = [row(name, "reuters", groups=PAPERS_OF_REUTERS) for name in (LINEAR, *NETWORKS)]
ROWS += [row(LINEAR, "cooking"), row(LINEAR, "tib-bk", seeds=1)]
