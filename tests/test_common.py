"""scikit-learn's own checks, on small specs; none may fail."""

from collections import Counter

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmltc import BalancedLossClassifier
from skmltc.encoders import BagEncoder

LINEAR = BalancedLossClassifier(weight_decay=0.1)
NETWORK = BalancedLossClassifier(
    encoder=BagEncoder(hidden_dims=(8,)), max_epochs=8, batch_size=16, early_stopping=False
)
ESTIMATORS = [LINEAR, NETWORK]
passed = Counter()


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    name = repr(estimator)
    check(estimator)
    passed[name] += 1


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=["linear", "network"])
def test_more_than_fifty_checks_ran(estimator, request):
    selected = [getattr(item, "originalname", None) for item in request.session.items]
    if selected.count("test_scikit_learn_check") <= 50 * len(ESTIMATORS):
        pytest.skip("the checks were not all selected")
    assert passed[repr(estimator)] > 50
