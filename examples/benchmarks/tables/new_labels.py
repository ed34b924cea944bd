"""Labels that are added with five documents each, after the fit.

The 20 first labels with 20 to 60 training and 5 test documents are withheld with all their
training documents. A model is fitted on the others, and gets them with the first five documents of
each. Scores are of these 20 over all test documents ("tail AP" is their mean average precision),
and seconds those of adding alone.
"""

from bench import Row

MODELS = ("LongTailClassifier", "BalancedLossClassifier", "HeadToTailClassifier")


def row(name, dataset, **parameters):
    return Row(name, dataset, "tfidf", name, parameters=parameters, n_added=20, seeds=1)


ROWS = [row(name, dataset) for dataset in ("cooking", "tib-bk") for name in MODELS]
