"""Names in a dict that are not names of nodes: parts of a split, fields of a sample."""

from __future__ import annotations

import re
from collections.abc import Iterable

from talkoot.core.errors import DataError

_PART = "train|training|test|testing|valid|validation|val|dev|eval|evaluation|holdout|hold_out"
_PART_NAME = re.compile(rf"(df_|ds_|data_)?({_PART})(_?(set|data|dataset|df|ds|split|loader|dataloader))?")
_FIELD = r"(x|y|features|labels?|targets?|images|inputs)"
_PART_OF_FIELD = re.compile(rf"{_FIELD}_?({_PART})|({_PART})_?{_FIELD}")
_NEVER = """input_ids attention_mask token_type_ids position_ids decoder_input_ids pixel_values pixel_mask
    inputs_embeds label_ids labels targets feature_names target_names sample_weight sample_weights"""
_VAGUE = """x y w data target label features feature inputs input outputs output images image pixels text
    texts tokens ids mask weight weights frame filename descr details url categories"""
FIELDS = frozenset(_NEVER.split())  # never names of sites
VAGUE = frozenset(_VAGUE.split())  # may name one site, but not all of several


def refuse_meanings(names: Iterable[str]) -> None:
    """Refuse a dict whose names show that it is not a dict of nodes.

    Args:
        names: the keys of the dict.

    Raises:
        DataError: one names a part of a split, such as "validation", or a field of a sample, such as
            "input_ids".

    >>> refuse_meanings(["test_site", "lima"])
    >>> try:
    ...     refuse_meanings(["train", "validation"])
    ... except DataError as error:
    ...     print(error.cause)
    'train' and 'validation' name parts of one data set, and a dict names nodes: all of it would be trained on
    """
    plain = {name: _normalize(name) for name in names}
    parts = [name for name in plain if _is_part(plain[name])]
    if parts:
        raise DataError(
            f"{_join(parts)} {_verb(parts)} parts of one data set, and a dict names nodes: all of it would "
            "be trained on",
            cure="Give only the rows to train on. If it is a node, give it another name: "
            f"{_site_name(parts[0])}.",
        )
    fields = [name for name in plain if plain[name] in FIELDS]
    vague = [name for name in plain if plain[name] in VAGUE]
    if fields or len(vague) == len(plain) > 1:
        found = fields + vague
        raise DataError(
            f"{_join(found)} {_verb(found)} fields of samples, and a dict names nodes: each of them would "
            "be a node with samples of its own",
            cure="Give (X, y), a table, or for several inputs a dataset of pairs (x, y) that stacks them in "
            f"x. If it is a node, give it another name: {_site_name(found[0])}.",
        )


def refuse_split(names: Iterable[str], by: str) -> None:
    """Refuse a column `by` whose values, `names`, are all parts of a split.

    Raises:
        DataError: all values are such as "train" and "test".
    """
    parts = [*names]
    if parts and all(_is_part(_normalize(name)) for name in parts):
        raise DataError(
            f"its values {_join(parts)} {_verb(parts)} parts of one data set, and by= makes a node of "
            "each: all of it would be trained on",
            column=by,
            cure="Give only the rows to train on, without by=. If these are nodes, rename the values.",
        )


def _normalize(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip()).casefold()


def _is_part(plain: str) -> bool:
    return (_PART_NAME.fullmatch(plain) or _PART_OF_FIELD.fullmatch(plain)) is not None


def _join(names: list[str]) -> str:
    shown = [repr(name) for name in names[:3]] + ([f"{len(names) - 3} more"] if names[3:] else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if shown[1:] else shown)


def _verb(names: list[str]) -> str:
    return "name" if names[1:] else "names one of the"


def _site_name(name: str) -> str:
    return repr(f"site {name}")
