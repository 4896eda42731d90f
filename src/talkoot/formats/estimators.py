"""scikit-learn's estimators as data: unfitted by the class's name and its parameters, fitted by skops.

Only classes of the catalogue travel, and the selectors of columns that they take. A function travels by the
name that it is imported by; whoever reads it says which names he trusts.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.formats.trees import having, is_estimator, with_trees, without_trees
from talkoot.formats.values import Decoder, Encoder
from talkoot.learners import catalogue, estimator_class

TRUSTED = (  # what skops does not know to be harmless
    "numpy.atleast_2d",
    "builtins.object",
    "functools.partial",
    "numpy.dtype",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.utils.validation.check_array",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)
TYPES = {kind.__name__: kind for kind in (int, float, str, bool, object)}
PLAIN = "Put it into a module of its own and import it from there."


def classes() -> dict[str, type]:
    """The classes that travel, by name."""
    return {kind.__name__: kind for kind in catalogue()}


def encode(value: Any, encoder: Encoder) -> Any:
    """Data of an estimator, a selector of columns, a scalar type of numpy or a function; None for others.

    Raises:
        PlanError: an estimator outside of the catalogue, or a function that cannot be imported.
    """
    if is_estimator(value):
        estimator: Any = value
        name = type(value).__name__
        if classes().get(name) is not type(value):
            raise PlanError(f"{name} is not in Talkoot's catalogue of estimators, so it cannot travel")
        params = encoder.encode(estimator.get_params(deep=False))
        return {"$": "estimator", "class": name, "params": params}
    if _is(value, "sklearn.compose", "make_column_selector"):
        keys = ("pattern", "dtype_include", "dtype_exclude")
        return {"$": "columns", "params": {key: encoder.encode(getattr(value, key)) for key in keys}}
    if isinstance(value, type) and issubclass(value, np.generic):
        return {"$": "numpy", "name": value.__name__}
    if value in TYPES.values():
        return {"$": "python", "name": value.__name__}
    return {"$": "function", "name": import_name(value)} if callable(value) else None


def decoders(trusted: Collection[str] = ()) -> Mapping[str, Callable[[Mapping[str, Any], Decoder], Any]]:
    """What makes values of data that `encode` made.

    Args:
        trusted: import names, such as "hospital.features.log_dose", of functions that may be imported.
    """
    return {
        "estimator": _estimator,
        "columns": _column_selector,
        "numpy": _scalar_type,
        "python": lambda data, decoder: TYPES[data["name"]],
        "function": lambda data, decoder: imported(data["name"], trusted),
    }


def _is(value: Any, module: str, kind: str) -> bool:
    """Whether a value is an instance of a class; there is none if its module was never imported."""
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], kind))


def _column_selector(data: Mapping[str, Any], decoder: Decoder) -> Any:
    from sklearn.compose import make_column_selector

    return make_column_selector(**{key: decoder.decode(item) for key, item in data["params"].items()})


def _estimator(data: Mapping[str, Any], decoder: Decoder) -> Any:
    kind = estimator_class(data["class"])
    if kind is None:
        raise DataError(f"{data['class']!r:.80} is not in Talkoot's catalogue of estimators")
    return kind(**{key: decoder.decode(item) for key, item in data["params"].items()})


def _scalar_type(data: Mapping[str, Any], decoder: Decoder) -> Any:
    return np.dtype(data["name"]).type


def import_name(function: Any) -> str:
    """The name that a function or class is imported by, such as "numpy.log1p".

    Raises:
        PlanError: it has none: a lambda, a function inside another one, a script's or a notebook's own.

    >>> import_name(np.log1p)
    'numpy.log1p'
    """
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    module = getattr(function, "__module__", None) or ("numpy" if isinstance(function, np.ufunc) else None)
    found: Any = sys.modules.get(str(module))
    for part in (name or "").split("."):
        found = getattr(found, part, None)
    if module in (None, "__main__") or found is not function:
        raise PlanError(f"{name or function!r} cannot be imported by a name, so it cannot travel", cure=PLAIN)
    return f"{module}.{name}"


def imported(name: str, trusted: Collection[str] = ()) -> Any:
    """The function or class of that name.

    Raises:
        DataError: it is neither trusted nor a ufunc of numpy or scipy.special; nothing is imported then.

    >>> imported("numpy.log1p")
    <ufunc 'log1p'>
    """
    module, _, attribute = name.rpartition(".")
    if name not in trusted and not _is_ufunc(module, attribute):
        raise DataError(
            f"it names {name!r:.200}, which would be imported and run",
            cure=f"If you trust it, write trusted=[{name!r:.200}].",
        )
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise DataError(
            f"{name!r:.200} cannot be imported: {error}", cure="Install what it is from."
        ) from None


def _is_ufunc(module: str, attribute: str) -> bool:
    known = module in ("numpy", "scipy.special") and attribute.isidentifier()
    return known and isinstance(getattr(import_module(module), attribute, None), np.ufunc)


def encode_fitted(value: Any, encoder: Encoder) -> Any:
    """Data of a fitted estimator; None for anything else."""
    if not is_estimator(value):
        return None
    return {"$": "fitted", "skops": encoder.encode(np.frombuffer(fitted_to_bytes(value), np.uint8))}


def decode_fitted(data: Mapping[str, Any], decoder: Decoder, trusted: Collection[str]) -> Any:
    """The fitted estimator of what `encode_fitted` made."""
    return fitted_from_bytes(decoder.decode(data["skops"]).tobytes(), trusted)


def fitted_to_bytes(model: Any) -> bytes:
    """A fitted estimator, in skops' format.

    Raises:
        PlanError: a part of it could not be read back, such as a lambda; it is named.
    """
    data: bytes = _skops().dumps(without_trees(model))
    for name in _untrusted(data, ()):
        module, _, attribute = name.rpartition(".")
        if module == "__main__" or "<" in name or not hasattr(sys.modules.get(module), attribute):
            raise PlanError(f"{name} cannot be imported by a name, so it cannot be saved", cure=PLAIN)
    return data


def fitted_from_bytes(data: bytes, trusted: Collection[str] = ()) -> Any:
    """The fitted estimator.

    Raises:
        DataError: it is damaged, or holds types that are not trusted; they are named and not imported.
    """
    from talkoot.learners.trees.boosting.sound import is_sound, renew_preprocessor

    try:
        if names := _untrusted(data, trusted):
            raise DataError(
                f"it holds {', '.join(names)}, which would be imported and run",
                cure=f"If you trust them, write trusted={names}.",
            )
        found = _skops().loads(data, trusted=[*TRUSTED, *trusted])
        boosted = [*having("_predictors", found)]
        if not all(map(is_sound, boosted)):
            raise DataError("it holds trees that lead nowhere", cure="Fit again: the file was changed.")
        for each in boosted:
            renew_preprocessor(each)
        return with_trees(found)
    except TalkootError:
        raise
    except (ValueError, KeyError, AttributeError, ImportError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"the fitted estimator cannot be read: {error!r:.200}") from None


def _untrusted(data: bytes, trusted: Collection[str]) -> list[str]:
    found: list[str] = _skops().get_untrusted_types(data=data)
    return [name for name in found if name not in TRUSTED and name not in trusted]


def _skops() -> Any:
    """skops.io, which imports all of scikit-learn: here without its adapters of torch, Dask and CuPy."""
    if "skops.io" not in sys.modules:
        unneeded = {f"sklearn.externals.array_api_compat.{name}" for name in ("cupy", "dask", "torch")}
        blocked = dict.fromkeys(unneeded - sys.modules.keys())
        sys.modules.update(blocked)  # type: ignore[arg-type]  # None: an import of it fails
        try:
            import_module("skops.io")
        finally:
            for name in blocked:
                sys.modules.pop(name, None)
    return import_module("skops.io")
