"""A logistic fit of soft answers (0 to 1), once or for many weightings at the same time.

Knows numbers only; which columns there are decides `ochat_eval.preferences.control`.
"""

from __future__ import annotations

import numpy as np

from ochat_eval.statistics.intervals import Floats

_STEPS, _CLOSE, _LONGEST_STEP = 60, 1e-8, 4.0


def fit(
    columns: Floats,
    answers: Floats,
    penalties: Floats,
    weights: Floats,
    start: Floats | None = None,
) -> Floats:
    """Coefficients (draws, columns) by Newton's method, one row for each row of weights.

    Args:
        columns: (values, columns), of which the first is usually ones.
        answers: From 0 to 1, one a value.
        penalties: Half of each one times the coefficient squared is taken off the likelihood;
            1 / variance of a normal prior.
        weights: (draws, values).
        start: Coefficients near the answer, which saves steps; None starts at 0.
    """
    found = np.zeros((len(weights), columns.shape[1]))
    if start is not None:
        found += start
    active = np.arange(len(weights))
    pairs = np.einsum("ni,nj->nij", columns, columns).reshape(len(columns), -1)
    width = columns.shape[1]
    for _ in range(_STEPS):
        if not len(active):
            break
        now, weight = found[active], weights[active]
        chances = sigmoid(now @ columns.T)
        slope = (weight * (answers - chances)) @ columns - penalties * now
        bend = (weight * chances * (1 - chances)) @ pairs
        curve = bend.reshape(-1, width, width) + np.diag(penalties + 1e-9)
        step = np.linalg.solve(curve, slope[..., None])[..., 0]
        # Newton's full step can run away where nearly all answers agree.
        longest = np.abs(step).max(axis=1, keepdims=True)
        step *= np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, 1e-300))
        found[active] = now + step
        active = active[longest[:, 0] > _CLOSE]
    return found


def sigmoid(x: Floats) -> Floats:
    """From log odds to chances, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def logit(share: Floats) -> Floats:
    """From chances to log odds; 0 and 1 become very large ones."""
    inside = np.clip(share, 1e-12, 1 - 1e-12)
    return np.log(inside / (1 - inside))
