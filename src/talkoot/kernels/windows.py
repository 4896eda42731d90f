"""Windows over the rows of keys: sums in whole numbers that panes join and leave, extremes, distinct values.

A key has a list of entries, the oldest first: one a pane of time, or one a distinct value. Window `k` of a
key reaches from `top - spans[k]` (not in it) to `top`, its newest pane. Sums are whole numbers of 256 bits
in units of 2 ** -128, four words, the lowest first: what joins and leaves again leaves no trace.
"""

from __future__ import annotations

import math

import numpy as np

from talkoot.kernels.compiled import inlined, kernel
from talkoot.kernels.window_arrays import Flags, Ints, Links, Reals, Steps, Store, Words

FREE_KEY, FREE_ENTRY, OLDEST_KEY, NEWEST_KEY, LOST_KEYS, LOST_ROWS = range(6)
COUNT, SUM, MEAN, STD, MIN, MAX, SINCE = range(7)
SAMPLE = 4096  # distinct values of a key that are counted one by one; of more, a part by their hash
U0, U1, U32, ALL = np.uint64(0), np.uint64(1), np.uint64(32), np.uint64(0xFFFFFFFFFFFFFFFF)


@inlined
def _add_float(words: Words, at: int, value: float, sign: int) -> None:
    """Add a number, cut to whole units, or take it away."""
    part, power = math.frexp(abs(value))
    whole = np.uint64(part * 9007199254740992.0)
    place = power + 75
    if place < 0:
        whole, place = (whole >> np.uint64(-place) if place > -64 else U0), 0
    word, bit = place >> 6, np.uint64(place & 63)
    high = whole >> (np.uint64(64) - bit) if bit > U0 else U0
    flip, carry = (U0, U0) if (value > 0.0) == (sign > 0) else (ALL, U1)
    for j in range(word, 4):
        own = (whole << bit if j == word else (high if j == word + 1 else U0)) ^ flip
        one = words[at + j] + own
        two = one + carry
        carry = U1 if one < own or two < one else U0
        words[at + j] = two


@inlined
def _add_product(words: Words, at: int, a: float, b: float, sign: int) -> None:
    """Add a * b exactly, as the rounded product and what rounding took from it (Dekker 1971)."""
    high_a, high_b = 134217729.0 * a, 134217729.0 * b
    high_a, high_b = high_a - (high_a - a), high_b - (high_b - b)
    low_a, low_b = a - high_a, b - high_b
    _add_float(words, at, a * b, sign)
    lost = ((high_a * high_b - a * b) + high_a * low_b + low_a * high_b) + low_a * low_b
    _add_float(words, at, lost, sign)


@inlined
def _add_value(words: Words, value: float) -> None:
    """Add a value to sums and, where there are such, its exact square to squares."""
    if words.shape[0] > 0:
        _add_float(words, 0, value, 1)
    if words.shape[0] > 4:
        _add_product(words, 4, value, value, 1)


@inlined
def _add_words(words: Words, other: Words, sign: int) -> None:
    """Add sums, or take them away."""
    for at in range(0, words.shape[0], 4):
        flip, carry = (U0, U0) if sign > 0 else (ALL, U1)
        for j in range(at, at + 4):
            own = other[j] ^ flip
            one = words[j] + own
            two = one + carry
            carry = U1 if one < own or two < one else U0
            words[j] = two


@inlined
def _near(words: Words, at: int) -> float:
    """A float near a sum."""
    negative, size, result = words[at + 3] > ALL >> U1, np.zeros(4, np.uint64), 0.0
    _add_words(size, words[at : at + 4], -1 if negative else 1)
    for j in range(4):
        result += math.ldexp(float(size[j]), 64 * j - 128)
    return -result if negative else result


@inlined
def _as_floats(words: Words, at: int) -> tuple[float, float]:
    """The nearest float of a sum, and what it lacks."""
    rest, near = words[at : at + 4].copy(), _near(words, at)
    _add_float(rest, 0, near, -1)
    lacking = _near(rest, 0)
    return near + lacking, lacking - ((near + lacking) - near)


@inlined
def _deviation(words: Words, n: float) -> float:
    """The standard deviation (by n - 1), of exact sums of squares about a float near the mean."""
    if n < 2.0:
        return math.nan
    total, lacking = _as_floats(words, 0)
    mean, rest = total / n, words.copy()
    _add_product(rest, 0, mean, n, -1)
    short = _near(rest, 0)
    for part in (total, lacking, short):
        _add_product(rest, 4, mean, part, -1)
    about_it = _near(rest, 4)
    squares = about_it - short * short / n
    return math.sqrt(squares / (n - 1.0)) if squares > about_it * 2.0**-40 else 0.0


@inlined
def _place(table: Links, names: Words, wanted: np.uint64) -> int:
    """Where a hash is in a table, or where there is room for it."""
    mask = table.shape[0] - 1
    at = np.int64((wanted ^ (wanted >> U32)) & np.uint64(mask))
    while table[at] != 0 and names[table[at] - 1] != wanted:
        at = (at + 1) & mask
    return int(at)


@kernel
def fill_table(table: Links, names: Words) -> None:
    """Put the names in use into an empty table."""
    for row in range(names.shape[0]):
        if names[row] != U0:
            table[_place(table, names, names[row])] = row + 1


@inlined
def _free_name(table: Links, names: Words, row: int) -> None:
    """Take a name out of its table, and close the gap."""
    mask = table.shape[0] - 1
    gap = _place(table, names, names[row])
    table[gap], names[row] = 0, U0
    at = (gap + 1) & mask
    while table[at] != 0:
        name = names[table[at] - 1]
        home = np.int64((name ^ (name >> U32)) & np.uint64(mask))
        if ((at - home) & mask) >= ((at - gap) & mask):
            table[gap], table[at] = table[at], 0
            gap = at
        at = (at + 1) & mask


@inlined
def _leave(s: Store, row: int, k: int, entry: int) -> None:
    """Take an entry out of window `k`."""
    s.counts[row, k] -= s.sizes[entry]
    _add_words(s.sums[row, k], s.parts[entry], -1)
    for which in range(s.bounds.shape[1]):
        if s.bounds[entry, which] == s.extremes[row, k, which]:
            s.extremes[row, k, which] = math.nan


@inlined
def _widen(bounds: Reals, empty: bool, least: float, greatest: float) -> None:
    """Let bounds hold other values, too."""
    if bounds.shape[0] > 0:
        bounds[0] = least if empty or least < bounds[0] else bounds[0]
        bounds[1] = greatest if empty or greatest > bounds[1] else bounds[1]


@inlined
def _find_bounds(s: Store, entry: int, last: int, bounds: Reals) -> None:
    """Find bounds that are not known in the entries from `entry` to those of pane `last`."""
    empty = True
    if bounds.shape[0] > 0 and (math.isnan(bounds[0]) or math.isnan(bounds[1])):
        while entry >= 0 and s.panes[entry] <= last:
            _widen(bounds, empty, s.bounds[entry, 0], s.bounds[entry, 1])
            entry, empty = s.links[entry, 1], False


@inlined
def _remove(s: Store, row: int, entry: int) -> None:
    """Take an entry out of its key's windows and list, and free its place."""
    before, after = s.links[entry, 0], s.links[entry, 1]
    for k in range(s.spans.shape[0]):
        if s.panes[entry] > s.top[row] - s.spans[k]:
            _leave(s, row, k, entry)
        if s.first[row, k] == entry:
            s.first[row, k] = after
    _join(s.links, s.ends[row], before, after)
    if s.items.shape[0] > 0:
        _free_name(s.places, s.items, entry)
    s.level[row, 0] -= 1
    s.links[entry, 1], s.heads[FREE_ENTRY] = s.heads[FREE_ENTRY], entry


@inlined
def _join(links: Links, ends: Links | Ints, before: int, after: int) -> None:
    """Let two places of a list follow each other; -1 is an end of it."""
    if before >= 0:
        links[before, 1] = after
    else:
        ends[0] = after
    if after >= 0:
        links[after, 0] = before
    else:
        ends[1] = before


@inlined
def _forget(s: Store, row: int) -> None:
    """Free a key and its entries."""
    while s.ends[row, 0] >= 0:
        _remove(s, row, s.ends[row, 0])
    _join(s.order, s.heads[OLDEST_KEY : NEWEST_KEY + 1], s.order[row, 0], s.order[row, 1])
    _free_name(s.table, s.keys, row)
    s.order[row, 1], s.heads[FREE_KEY] = s.heads[FREE_KEY], row


@inlined
def _new_key(s: Store, key: np.uint64, pane: int) -> int:
    """A place for a key that has no entries yet."""
    row = s.heads[FREE_KEY]
    s.heads[FREE_KEY] = s.order[row, 1]
    s.table[_place(s.table, s.keys, key)] = row + 1
    s.keys[row], s.top[row] = key, pane
    s.ends[row], s.level[row], s.first[row] = -1, 0, -1
    s.counts[row], s.sums[row], s.extremes[row] = 0, U0, math.nan
    _touch(s, row, True)
    return int(row)


@inlined
def _touch(s: Store, row: int, is_new: bool) -> None:
    """Make a key the one that was touched last."""
    ends = s.heads[OLDEST_KEY : NEWEST_KEY + 1]
    if not is_new:
        _join(s.order, ends, s.order[row, 0], s.order[row, 1])
    _join(s.order, ends, ends[1], row)
    _join(s.order, ends, row, -1)


@inlined
def _advance(s: Store, row: int, pane: int) -> None:
    """Move the windows of a key on, and find what became unknown of their bounds."""
    s.top[row] = pane
    for k in range(s.spans.shape[0]):
        entry = s.first[row, k]
        while entry >= 0 and s.panes[entry] <= pane - s.spans[k]:
            _leave(s, row, k, entry)
            entry = s.links[entry, 1]
        s.first[row, k] = entry
        _find_bounds(s, entry, pane, s.extremes[row, k])


@inlined
def _entry(s: Store, row: int, pane: int, item: np.uint64) -> int:
    """The entry of a pane, a new one where there is none; of distinct values, always a new one."""
    before = s.ends[row, 1]
    while before >= 0 and s.panes[before] > pane:
        before = s.links[before, 0]
    if before >= 0 and s.panes[before] == pane and item == U0:
        return int(before)
    after = s.ends[row, 0] if before < 0 else s.links[before, 1]
    entry = s.heads[FREE_ENTRY]
    s.heads[FREE_ENTRY] = s.links[entry, 1]
    _join(s.links, s.ends[row], before, entry)
    _join(s.links, s.ends[row], entry, after)
    s.panes[entry], s.sizes[entry], s.parts[entry] = pane, 0, U0
    s.level[row, 0] += 1
    if item != U0:
        s.places[_place(s.places, s.items, item)], s.items[entry] = entry + 1, item
    for k in range(s.spans.shape[0]):
        if s.first[row, k] == after and pane > s.top[row] - s.spans[k]:
            s.first[row, k] = entry
    return int(entry)


@inlined
def _add(s: Store, row: int, pane: int, value: float, item: np.uint64) -> None:
    """Add a value to its pane and to the windows that hold it."""
    entry = _entry(s, row, pane, item)
    _add_value(s.parts[entry], value)
    _widen(s.bounds[entry], s.sizes[entry] == 0, value, value)
    s.sizes[entry] += 1
    for k in range(s.spans.shape[0]):
        if pane > s.top[row] - s.spans[k]:
            _add_value(s.sums[row, k], value)
            _widen(s.extremes[row, k], s.counts[row, k] == 0, value, value)
            s.counts[row, k] += 1


@inlined
def _note(s: Store, row: int, pane: int, value: float, item: np.uint64) -> None:
    """Add a value, or when a distinct one was seen last; of too many, go on with half of them."""
    known = s.places[_place(s.places, s.items, item)] - 1
    if known >= 0:
        if s.panes[known] >= pane:
            return
        _remove(s, row, known)
    s.level[row, 1] = s.level[row, 1] if s.level[row, 0] > 0 else 0
    if item & np.uint64(s.level[row, 1]) == U0:
        _add(s, row, pane, value, item)
    if item != U0 and s.level[row, 0] > SAMPLE:
        s.level[row, 1] = 2 * s.level[row, 1] + 1
        entry = s.ends[row, 0]
        while entry >= 0:
            after = s.links[entry, 1]
            if s.items[entry] & np.uint64(s.level[row, 1]) != U0:
                _remove(s, row, entry)
            entry = after


@inlined
def _query(s: Store, row: int, k: int, pane: int, words: Words, bounds: Reals, out: Reals) -> None:
    """What window `k` would hold with `pane` as its newest; nothing changes. Distinct of the past: nan."""
    least, entry, last = pane - s.spans[k], s.first[row, k], s.ends[row, 1]
    count, words[:], bounds[:] = s.counts[row, k], s.sums[row, k], s.extremes[row, k]
    if pane < s.top[row]:
        count, words[:], bounds[:], entry = 0, U0, math.nan, np.int32(-1)
        while last >= 0 and s.panes[last] > pane:
            last = s.links[last, 0]
        back = last
        while back >= 0 and s.panes[back] > least:
            count += s.sizes[back]
            _add_words(words, s.parts[back], 1)
            entry, back = back, s.links[back, 0]
    while entry >= 0 and s.panes[entry] <= least:
        count -= s.sizes[entry]
        _add_words(words, s.parts[entry], -1)
        entry, bounds[:] = s.links[entry, 1], math.nan
    _find_bounds(s, entry, pane, bounds)
    out[COUNT] = math.nan if s.items.shape[0] > 0 and pane < s.top[row] else count * (s.level[row, 1] + 1.0)
    if count > 0:
        out[SINCE] = pane - s.panes[last]


@inlined
def _answer(
    s: Store, row: int, k: int, steps: Steps, i: int, own: bool, words: Words, bounds: Reals, out: Reals
) -> None:
    """What row `i` sees of window `k` of its key, with its own value where `own`."""
    words[:], bounds[:], out[COUNT] = U0, math.nan, 0.0
    if row >= 0:
        _query(s, row, k, steps.pane[i], words, bounds, out)
    if own and s.items.shape[0] == 0:
        _add_value(words, steps.value[i])
        _widen(bounds, out[COUNT] == 0.0, steps.value[i], steps.value[i])
        out[COUNT] += 1.0
    elif own and (row < 0 or steps.item[i] & np.uint64(s.level[row, 1]) == U0):
        known = s.places[_place(s.places, s.items, steps.item[i])] - 1
        if known < 0 or s.panes[known] <= steps.pane[i] - s.spans[k]:
            out[COUNT] += 1.0 if row < 0 else s.level[row, 1] + 1.0
    if words.shape[0] > 0:
        out[SUM] = _as_floats(words, 0)[0]
        out[MEAN] = out[SUM] / out[COUNT]
    if words.shape[0] > 4:
        out[STD] = _deviation(words, out[COUNT])
    if bounds.shape[0] > 0 and out[COUNT] > 0.0:
        out[MIN], out[MAX] = bounds[0], bounds[1]


@inlined
def _room(s: Store, row: int, grow: Flags) -> bool:
    """Whether there is room for a row of this key; where no more can be had, what is oldest makes room."""
    while (row < 0 and s.heads[FREE_KEY] < 0) or s.heads[FREE_ENTRY] < 0:
        if grow[0 if row < 0 and s.heads[FREE_KEY] < 0 else 1]:
            return False
        if s.heads[OLDEST_KEY] != row:
            s.heads[LOST_KEYS] += 1
            _forget(s, s.heads[OLDEST_KEY])
        else:
            s.heads[LOST_ROWS] += s.sizes[s.ends[row, 0]]
            _remove(s, row, s.ends[row, 0])
    return True


@kernel
def pass_rows(s: Store, steps: Steps, start: int, grow: Flags, itself: bool, out: Reals) -> int:
    """Take the steps from `start` on; how many are done, fewer than all where keys or entries must grow.

    `grow`: whether more keys, and more entries, can be had; `itself`: whether a row sees its own value;
    `out`: (steps, K, 7) what rows see, by the numbers above. Only steps that add change the store.
    """
    words, bounds = np.zeros(s.sums.shape[2], np.uint64), np.empty(s.bounds.shape[1])
    longest = s.spans.max()
    for i in range(start, steps.key.shape[0]):
        oldest, pane = steps.horizon[i] - longest, steps.pane[i]
        while steps.adds[i] and s.heads[OLDEST_KEY] >= 0 and s.top[s.heads[OLDEST_KEY]] <= oldest:
            _forget(s, s.heads[OLDEST_KEY])
        row = s.table[_place(s.table, s.keys, steps.key[i])] - 1
        if steps.adds[i]:
            if row >= 0:
                _touch(s, row, False)
            if not _room(s, row, grow):
                return i
            if row < 0:
                row = _new_key(s, steps.key[i], pane)
            elif pane > s.top[row]:
                _advance(s, row, pane)
        if steps.asks[i]:
            own = itself and not math.isnan(steps.value[i])
            for k in range(s.spans.shape[0]):
                _answer(s, row, k, steps, i, own, words, bounds, out[i, k])
        if steps.adds[i]:
            _note(s, row, pane, steps.value[i], steps.item[i])
            while s.ends[row, 0] >= 0 and s.panes[s.ends[row, 0]] <= oldest:
                _remove(s, row, s.ends[row, 0])
    return steps.key.shape[0]
