"""All defaults of the estimators, and one-vs-rest LinearSVC with the same rules for its cut-offs.

To compare two commits: set PYTHONPATH to the one to measure, give each a file as `--output`, then
`--compare` the files.
"""

from bench import Row
from bench.rows import PAPERS_OF_REUTERS

LINEAR = "BalancedLossClassifier"
NETWORKS = (LINEAR, "HybridSiameseClassifier", "HeadToTailClassifier", "TReaderXMLClassifier")
RULES = ("own", "tuned", "tuned_low", "frequency", "per_group", "per_label")
RIVALS = {"LinearSVC": {}, "LinearSVC balanced": {"class_weight": "balanced"}}
GROUPS = {"reuters": PAPERS_OF_REUTERS, "cooking": {}, "tib-bk": {}}


def ours(estimator, dataset, kind):
    return Row(
        *(estimator, dataset, kind, estimator),
        variant={"cut": "default"},
        groups=GROUPS.get(dataset, {}),
        seeds=1 if dataset.startswith("tib") else None,
    )


def rival(name, dataset, rule):
    return Row(
        *(name, dataset, "tfidf", "LinearSVC"),
        parameters=RIVALS[name] | {"threshold": rule},
        variant={"cut": rule},
        groups=GROUPS[dataset],
        seeds=1 if dataset == "tib-bk" else None,
    )


ROWS = [ours(LINEAR, dataset, "tfidf") for dataset in (*GROUPS, "tib-gnd")]
ROWS += [ours(name, "reuters", "tokens 128") for name in NETWORKS]
ROWS += [ours(name, "reuters", "tfidf") for name in NETWORKS[1:]]
ROWS += [rival(name, dataset, rule) for name in RIVALS for dataset in GROUPS for rule in RULES]
