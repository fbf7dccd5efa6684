"""The inputs that users can give to the networks of a task, and those that come with it. Knows no torch.

A new task is a row in `INPUTS`: nothing outside `supernets` has to know it.
"""

from __future__ import annotations

from collections.abc import Mapping

from supernets.pictures import inputs as pictures
from supernets.seq2seq.inputs import TRANSLATION
from supernets.task_inputs import LabelledInputs

INPUTS: Mapping[str, LabelledInputs] = {
    "plates": pictures.PLATES,
    "imagenet": pictures.IMAGENET,
    "translation": TRANSLATION,
}
"""The inputs of the built-in supernets' tasks, by the task's name."""
