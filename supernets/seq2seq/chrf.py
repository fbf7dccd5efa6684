"""chrF, the similarity of a translation to a right one by the sequences of characters that they share.

Popović, "chrF: character n-gram F-score for automatic MT evaluation" (WMT 2015), with the settings of sacrebleu's
`chrF2`: sequences of 1 to 6 characters without white space, recall counted twice, and an average over the lengths that
both texts have. It is here in a few lines so that a worker, which credits each request, does not need sacrebleu.
"""

from __future__ import annotations

from collections import Counter

_ORDER = 6
_BETA = 2.0


def chrf(text: str, right: str) -> float:
    """Return the chrF of a text, from 0 to 1, where 1 is the right text, up to white space.

    Args:
        text: the translation.
        right: a right translation.
    """
    precisions, recalls = [], []
    for length in range(1, _ORDER + 1):
        ours, theirs = _sequences(text, length), _sequences(right, length)
        if ours and theirs:
            shared = (ours & theirs).total()
            precisions.append(shared / ours.total())
            recalls.append(shared / theirs.total())
    if not precisions:
        return 0.0
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    below = _BETA**2 * precision + recall
    return (1 + _BETA**2) * precision * recall / below if below else 0.0


def _sequences(text: str, length: int) -> Counter[str]:
    joined = "".join(text.split())
    return Counter(joined[start : start + length] for start in range(len(joined) - length + 1))
