"""Models of the kernel's frequency governors: each picks the next clock from how busy the cores were.

On an emulated or simulated board one model runs for each frequency domain; on a real board the kernel's own
governor is set instead. A governor knows only what it is told: no board, no policy and no requests.

`step` is called once every `period_us`, and at once when the allowed clocks change. The kernel's sampling rates act in
this way. Two differences to the kernel:

- schedutil's rate limit counts from its last change of clock, and a task that wakes or sleeps makes it look again. A
  caller that knows such edges may call `step` at them too.
- The kernel's hooks do not fire on a core that sleeps, so its clock stands until something wakes it. A model here is
  stepped all the same, as if the system's own housekeeping woke each domain once a period.

`docs/governors.md` says what each model does and leaves out, and which Linux it is of.
"""

from scheduler.governors.common import (
    PERIOD_US,
    EdgeGovernor,
    Governor,
    GovernorError,
    HintedGovernor,
    at_least,
    next_sample_s,
)
from scheduler.governors.fixed import Performance, Powersave
from scheduler.governors.interactive import Interactive
from scheduler.governors.lavd import Lavd
from scheduler.governors.load import Conservative, Ondemand
from scheduler.governors.names import (
    GOVERNORS,
    HINTED,
    MODELLED,
    PLACES,
    governor_for,
    governor_of,
    make_governor,
)
from scheduler.governors.podgov import Podgov
from scheduler.governors.schedutil import Schedutil, SchedutilUclamp
from scheduler.governors.seat import GovernorSeat

__all__ = [
    "GOVERNORS",
    "HINTED",
    "MODELLED",
    "PERIOD_US",
    "PLACES",
    "Conservative",
    "EdgeGovernor",
    "Governor",
    "GovernorError",
    "GovernorSeat",
    "HintedGovernor",
    "Interactive",
    "Lavd",
    "Ondemand",
    "Performance",
    "Podgov",
    "Powersave",
    "Schedutil",
    "SchedutilUclamp",
    "at_least",
    "governor_for",
    "governor_of",
    "make_governor",
    "next_sample_s",
]
