"""Metrics beside scikit-learn's, and laws they keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.core import metrics
from toolkit.errors import UsageError
from toolkit.registry import registry

sklearn = pytest.importorskip("sklearn.metrics")
classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(classes)
@settings(max_examples=60)
def test_class_metrics_equal_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    predicted, wanted = np.array(pairs).T
    options = {"average": "macro", "zero_division": 0}
    assert metrics.accuracy(predicted, wanted) == pytest.approx(sklearn.accuracy_score(wanted, predicted))
    assert metrics.f1(predicted, wanted) == pytest.approx(sklearn.f1_score(wanted, predicted, **options))
    assert metrics.precision(predicted, wanted) == pytest.approx(sklearn.precision_score(wanted, predicted, **options))
    assert metrics.recall(predicted, wanted) == pytest.approx(sklearn.recall_score(wanted, predicted, **options))
    assert (metrics.confusion(predicted, wanted, 4) == sklearn.confusion_matrix(wanted, predicted, labels=range(4))).all()


def test_a_class_beyond_those_that_were_told_of_has_a_row_too() -> None:
    assert metrics.confusion([3], [0], classes=2).tolist() == [[0, 0, 0, 1], *[[0] * 4] * 3]
    assert metrics.confusion([0], [0], classes=2).tolist() == [[1, 0], [0, 0]]


def test_auc_equals_scikit_learns_with_ties_and_many_classes() -> None:
    generator = np.random.default_rng(0)
    scores, wanted = generator.integers(0, 5, 80) / 5, generator.integers(0, 2, 80)
    assert metrics.auc(scores, wanted) == pytest.approx(sklearn.roc_auc_score(wanted, scores))
    shares = generator.dirichlet(np.ones(3), 90)
    wanted = generator.integers(0, 3, 90)
    assert metrics.auc(shares, wanted) == pytest.approx(sklearn.roc_auc_score(wanted, shares, multi_class="ovr"))
    pairs = np.stack([1 - scores, scores], 1)
    assert metrics.auc(pairs, generator.integers(0, 2, 80)) != 0.5
    with pytest.raises(UsageError, match="two classes"):
        metrics.auc([0.1, 0.2], [1, 1])


def test_numbers_equal_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    wanted = generator.normal(size=50)
    predicted = wanted + generator.normal(size=50)
    for ours, theirs in ((metrics.mse, sklearn.mean_squared_error), (metrics.mae, sklearn.mean_absolute_error),
                         (metrics.r2, sklearn.r2_score)):
        assert ours(predicted, wanted) == pytest.approx(theirs(wanted, predicted))
    assert np.isnan(metrics.r2([0.2] * 3, [0.1] * 3))  # whose mean is rounded to another number


def test_roc_goes_from_corner_to_corner_and_its_area_is_the_auc() -> None:
    generator = np.random.default_rng(2)
    scores, wanted = generator.normal(size=60), generator.integers(0, 2, 60)
    false, true = metrics.roc(scores, wanted)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(metrics.auc(scores, wanted))


@pytest.mark.parametrize(("predictions", "targets", "squared", "absolute"), [
    (np.array([0, 10], np.uint8), np.array([255, 12], np.uint8), 32514.5, 128.5), ([0], [5_000_000_000], 2.5e19, 5e9),
    (np.array([200], np.float16), np.array([-200], np.float16), 160_000, 400), ([True, False], [False, False], 0.5, 0.5)])
def test_differences_neither_wrap_around_nor_overflow(
        predictions: object, targets: object, squared: float, absolute: float) -> None:
    assert metrics.mse(predictions, targets) == squared and metrics.mae(predictions, targets) == absolute


def test_auc_of_one_column_is_that_of_its_numbers_and_refuses_what_has_no_order() -> None:
    scores, wanted = np.array([0.1, 0.4, 0.35, 0.8]), [0, 0, 1, 1]
    assert metrics.auc(scores[:, None], wanted) == metrics.auc(scores, wanted) == 0.75
    for given_scores, given_targets in (([0.1, np.nan], [0, 1]), ([0.1, 0.2, 0.3], [0, 1]), (np.zeros((2, 2, 2)), [0, 1])):
        with pytest.raises(UsageError, match="auc needs a score, or a row of scores, for each target, none of them NaN"):
            metrics.auc(given_scores, given_targets)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilsons_interval_holds_the_share(right: int, more: int) -> None:
    low, high = metrics.wilson(right, right + more)
    assert 0 <= low <= right / (right + more) <= high <= 1


def test_the_bootstrap_narrows_with_more_data() -> None:
    generator = np.random.default_rng(3)
    widths = []
    for count in (20, 2000):
        wanted = generator.integers(0, 2, count)
        low, high = metrics.bootstrap(metrics.accuracy, generator.integers(0, 2, count), wanted)
        assert low < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


@pytest.mark.parametrize("name", [entry.name for entry in registry.entries("metric", plugins=False) if entry.name != "auc"])
def test_nothing_and_unequal_shapes_are_refused(name: str) -> None:
    metric = registry.make("metric", name)
    with pytest.raises(UsageError, match="as many predictions as targets"):
        metric([], [])
    with pytest.raises(UsageError, match="shapes"):
        metric([1, 0], [1])
