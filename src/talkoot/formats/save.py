"""Fitted models in files: what `Fit.save` writes and `tk.load` reads."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkoot.core.errors import DataError, PlanError
from talkoot.formats import estimators
from talkoot.formats.frames import from_bytes, to_bytes

if TYPE_CHECKING:
    import torch

VERSION = 1


def save(model: Any, path: str | Path, build: Callable[[], Any] | None = None) -> Path:
    """Write a fitted model; a file that was there before is replaced only once the new one is whole.

    Args:
        model: a fitted estimator of scikit-learn, or a module of torch.
        path: where; its folders are made.
        build: what made the module. The file names it, if it can be imported by a name.

    Raises:
        PlanError: a part of it cannot be saved; it is named.
    """
    frame = saved(model, build)
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.write_bytes(frame)
        return unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def saved(model: Any, build: Callable[[], Any] | None = None) -> bytes:
    """What `save` writes.

    Raises:
        PlanError: a part of it cannot be saved; it is named.
    """
    if build is not None:
        return _module(model, build)
    return to_bytes({"version": VERSION, "kind": "estimator"}, [estimators.fitted_to_bytes(model)])


def load(path: str | Path, *, trusted: Collection[str] = (), build: Callable[[], Any] | None = None) -> Any:
    """The fitted model that `Fit.save` wrote. Reading runs no code but scikit-learn's and what you trust.

    Args:
        path: the file.
        trusted: import names, such as "hospital.nets.build", that the file may import: functions of a
            pipeline, or what builds a module of torch.
        build: what builds the module of torch, in place of the name in the file.

    Returns:
        The estimator or the module, as it was fitted.

    Raises:
        DataError: there is no such file, it is damaged, or it names what is not trusted; nothing is imported.

    >>> import numpy as np, talkoot as tk, tempfile
    >>> from sklearn.linear_model import Ridge
    >>> fit = tk.fit(Ridge(), np.eye(3), np.arange(3.0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model = tk.load(fit.save(f"{folder}/ridge.talkoot"))
    >>> bool((model.coef_ == fit.model.coef_).all())
    True
    """
    path = Path(path).expanduser()
    try:
        data, buffers = from_bytes(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", cure="Look at the path.") from None
    except DataError as error:
        raise DataError(f"{path}: {error.cause}", cure=error.cure) from None
    match data:
        case {"version": 1, "kind": "estimator"} if len(buffers) == 1:
            return estimators.fitted_from_bytes(bytes(buffers[0]), trusted)
        case {"version": 1, "kind": "module", "build": str() | None as name} if len(buffers) == 1:
            return _load_module(build or _builder(name, trusted), buffers[0])
    raise DataError(
        f"{path} holds no fitted model that this version of Talkoot reads", cure="Update Talkoot."
    )


def _module(module: torch.nn.Module, build: Callable[[], Any]) -> bytes:
    from safetensors.torch import save as tensors_to_bytes

    state = module.state_dict()
    if odd := [name for name, value in state.items() if not hasattr(value, "detach")]:
        raise PlanError(f"{odd[0]!r} of the module's state is no tensor, so it cannot be saved")
    try:
        name: str | None = estimators.import_name(build)
    except PlanError:
        name = None  # a script's own: whoever loads the file hands build in
    tensors = tensors_to_bytes({name: value.detach().cpu().clone() for name, value in state.items()})
    return to_bytes({"version": VERSION, "kind": "module", "build": name}, [tensors])


def _builder(name: str | None, trusted: Collection[str]) -> Callable[[], Any]:
    if name is None:
        raise DataError(
            "the module was built by a function that cannot be imported by a name",
            cure="Hand it in: tk.load(path, build=build).",
        )
    build: Callable[[], Any] = estimators.imported(name, trusted)
    return build


def _load_module(build: Callable[[], Any], tensors: memoryview) -> torch.nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load as tensors_from_bytes

    built = build()
    module: torch.nn.Module = built[0] if isinstance(built, tuple) else built
    try:
        module.load_state_dict(tensors_from_bytes(bytes(tensors)))
    except (SafetensorError, RuntimeError) as error:
        raise DataError(f"the file's tensors are not those of the module that was built: {error}") from None
    return module
