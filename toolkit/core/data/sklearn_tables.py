"""scikit-learn's bundled tables, which need no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.core.base import Example


class SklearnTable:
    """One of ``sklearn.datasets``: named columns, and the column ``target``."""

    target = "target"
    loader = ""

    def splits(self) -> Mapping[str, Sequence[Example]]:
        from sklearn import datasets

        bunch: Any = getattr(datasets, self.loader)()
        names = [str(name) for name in bunch.feature_names]
        classes = getattr(bunch, "target_names", None)
        targets = bunch.target.tolist() if classes is None else [str(classes[item]) for item in bunch.target]
        return {"train": [{**dict(zip(names, row, strict=True)), "target": target}
                          for row, target in zip(bunch.data.tolist(), targets, strict=True)]}


class Iris(SklearnTable):
    loader = "load_iris"


class Wine(SklearnTable):
    loader = "load_wine"


class Digits(SklearnTable):
    loader = "load_digits"


class BreastCancer(SklearnTable):
    loader = "load_breast_cancer"


class Diabetes(SklearnTable):
    loader = "load_diabetes"
