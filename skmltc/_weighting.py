"""Weights of documents on their way to the classifiers inside another one.

scikit-learn hands them on by requests (metadata routing), and to classifiers such as
OneVsRestClassifier in no other way. Where the user has not enabled it, it is enabled here for the
fit of a clone, and whatever knows the labels asks for the weights.
"""

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import has_fit_parameter

from ._inner import end_of_pipeline, is_frozen
from ._validation import must_be


def router_of(owner, estimators):
    """The router of a classifier that uses weights itself, and hands them on in `fit`.

    Parameters
    ----------
    owner : estimator
    estimators : mapping of str to estimator
        Those inside, by name.
    """
    router = MetadataRouter(owner=owner).add_self_request(owner)
    for name, estimator in estimators.items():
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router.add(**{name: estimator}, method_mapping=mapping)
    return router


def weights_of(owner, names, weights):
    """The weights, or None, for each of the classifiers inside, by name.

    All have them, unless metadata routing is enabled: then those that request them.
    """
    if weights is None or not get_config()["enable_metadata_routing"]:
        return dict.fromkeys(names, weights)
    routed = process_routing(owner, "fit", sample_weight=weights)
    return {name: routed[name].fit.get("sample_weight") for name in names}


def fit_weighted(estimator, X, y, weights=None):
    """Fit an estimator, of pipelines the last step with weights of the documents.

    Parameters
    ----------
    estimator : estimator
        A clone: it is changed.
    X : list, array or sparse matrix of n_samples documents
    y : array or sparse matrix
    weights : array of shape (n_samples,), default=None

    Returns
    -------
    fitted estimator

    Raises
    ------
    ValueError
        If it takes no weights, nor any estimator inside it.
    """
    if weights is None or is_frozen(estimator):
        return estimator.fit(X, y)
    if get_config()["enable_metadata_routing"]:  # the user has said who wants them
        return estimator.fit(X, y, sample_weight=weights)
    with config_context(enable_metadata_routing=True):
        _request(estimator)
        return estimator.fit(X, y, sample_weight=weights)


def _request(estimator):
    """Let what knows the labels ask for weights, and nothing before it."""
    asking = _with_inner(end_of_pipeline(estimator))
    takers = [one for one in _with_inner(estimator) if has_fit_parameter(one, "sample_weight")]
    if not any(one is taker for one in asking for taker in takers):
        remedy = "LinearSVC and LogisticRegression are such, in OneVsRestClassifier too."
        expected = "one whose fit takes sample_weight, where weights are given"
        raise must_be("estimator", expected, repr(estimator), remedy)
    for taker in takers:
        wanted = any(one is taker for one in asking)
        for ask in ("set_fit_request", "set_score_request"):  # a search scores what it fits
            if hasattr(taker, ask):
                getattr(taker, ask)(sample_weight=wanted)


def _with_inner(estimator):
    """An estimator and all those among its parameters, of any depth."""
    inner = estimator.get_params(deep=True).values() if hasattr(estimator, "get_params") else []
    return [estimator, *(one for one in inner if isinstance(one, BaseEstimator))]


def rows_with_weight(rows, weights):
    """Those of some rows whose documents count."""
    rows = np.asarray(rows)
    return rows if weights is None else rows[np.asarray(weights)[rows] > 0]
