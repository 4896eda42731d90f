"""The best so far of several models, by losses that fade."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import kernel


@kernel
def best_so_far(losses: Any, fading: Any, fade: float) -> Any:
    """For each row, the model of the least fading loss before it; `fading` takes the row's losses in.

    Args:
        losses: (rows, models); nan where the row has no label.
        fading: sums of losses, (models,); changed in place.
        fade: what a sum is multiplied by at each row.
    """
    rows, models = losses.shape
    chosen = np.empty(rows, np.intp)
    for i in range(rows):
        chosen[i] = np.argmin(fading)
        if losses[i, 0] == losses[i, 0]:
            for m in range(models):
                fading[m] = fade * fading[m] + losses[i, m]
    return chosen
