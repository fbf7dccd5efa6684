"""Corpus BLEU, counted by sacrebleu, so that others can count alike. sacrebleu is imported when it is asked for.

Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation" (ACL 2002); Post, "A Call for Clarity
in Reporting BLEU Scores" (WMT 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

from supernets.task import CorpusFigure

NAME = "corpus BLEU"


def corpus_bleu(texts: Sequence[str], right: Sequence[str]) -> CorpusFigure:
    """Return the BLEU of translations, 0 to 100; it is not known where sacrebleu is not installed.

    Args:
        texts: the translations, at least one.
        right: a right translation of each.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        why = f"{NAME} needs sacrebleu; install it with: pip install 'gearshift[bleu]'"
        return CorpusFigure(name=NAME, value=None, why_unknown=why)
    metric = BLEU()
    value = round(metric.corpus_score(list(texts), [list(right)]).score, 4)
    return CorpusFigure(name=NAME, value=value, signature=str(metric.get_signature()))
