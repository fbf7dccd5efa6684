"""CPUs of a unit, where each demand has its own choice of them: who waits for whom, and which choices there are.

A demand's CPUs are the bits of one whole number: 0b101 is CPU 0 and CPU 2. Two demands wait for each other if they have
a CPU in common. This module does not know what waiting costs.
"""

from typing import NamedTuple

import numpy as np

from scheduler.compiled import compiled
from scheduler.problem import MOST_CPUS
from scheduler.solver.grid import BUSY, OWN_LOAD, Floats, Grid, Ints

SEATS = 256
"""Most choices of CPUs that a search looks at for one demand."""


class Crowd(NamedTuple):
    """What the demands on a unit are to each other; arrays that are used again and again.

    Attributes:
        waits: by demand the services that it waits for, in ms.
        loads: by CPU its load.
        users: by CPU its demands as bits, so that CPUs with the same users are interchangeable.
        seats: (`SEATS`,): choices of CPUs.
    """

    waits: Floats
    loads: Floats
    users: Ints
    seats: Ints


@compiled
def new_crowd(demands: int) -> Crowd:
    """Return a crowd with room for that many demands on a unit of any size."""
    return Crowd(
        np.zeros(demands), np.zeros(MOST_CPUS), np.zeros(MOST_CPUS, dtype=np.int64), np.empty(SEATS, dtype=np.int64)
    )


@compiled
def gather(grid: Grid, slots: int, members: Ints, point: Ints, cpus: Ints, without: int, crowd: Crowd) -> None:
    """Fill in a crowd: the members of a unit, one of them left out.

    Args:
        grid: the grid.
        slots: the CPUs of the unit.
        members: indices into `point`, `cpus` and `crowd.waits`.
        point: the points taken.
        cpus: the CPUs taken.
        without: the member that is left out; -1 for nobody.
        crowd: is filled in.
    """
    crowd.loads[:slots] = 0.0
    crowd.users[:slots] = 0
    for a in range(len(members)):
        i = members[a]
        crowd.waits[i] = 0.0
        if i == without:
            continue
        busy = grid.points[point[i], BUSY]
        for b in range(a):
            k = members[b]
            if k != without and cpus[i] & cpus[k]:
                crowd.waits[i] += grid.points[point[k], BUSY]
                crowd.waits[k] += busy
        for c in range(slots):
            if cpus[i] >> c & 1:
                crowd.loads[c] += grid.points[point[i], OWN_LOAD]
                crowd.users[c] |= 1 << (a % 62)


@compiled
def most_loaded(crowd: Crowd, slots: int, cpus: int, load: float) -> float:
    """Return the load of the most loaded CPU, where some CPUs have that much more."""
    most = 0.0
    for c in range(slots):
        most = max(most, crowd.loads[c] + (load if cpus >> c & 1 else 0.0))
    return most


@compiled
def least_loaded(loads: Floats, slots: int, count: int) -> int:
    """Return that many CPUs with the least load; of equals the first come first."""
    taken = 0
    for _ in range(count):
        at = -1
        for c in range(slots):
            if not taken >> c & 1 and (at < 0 or loads[c] < loads[at]):
                at = c
        taken |= 1 << at
    return taken


@compiled
def seats_of(users: Ints, slots: int, count: int, seats: Ints) -> int:
    """List the choices of that many CPUs that differ in more than interchangeable CPUs; return how many there are.

    Of CPUs with the same users the first are taken first. As many are listed as there is room for.
    """
    # The CPU before each one that has the same users; who takes a CPU has that one already.
    before = np.full(slots, -1, dtype=np.int64)
    for c in range(slots):
        for b in range(c):
            if users[b] == users[c]:
                before[c] = b
    chosen, begin = np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=np.int64)
    found, taken, d = 0, 0, 0
    while d >= 0:
        if chosen[d] >= 0:
            taken &= ~(1 << chosen[d])
        c = begin[d]
        while c < slots and before[c] >= 0 and not taken >> before[c] & 1:
            c += 1
        if c > slots - (count - d):
            chosen[d] = -1
            d -= 1
            continue
        chosen[d], begin[d] = c, c + 1
        taken |= 1 << c
        if d + 1 < count:
            d += 1
            begin[d] = c + 1
            continue
        seats[found] = taken
        found += 1
        if found == len(seats):
            break
    return found


@compiled
def moves_of(crowd: Crowd, slots: int, count: int) -> int:
    """List in `crowd.seats` the choices of that many CPUs worth trying beside a crowd; return how many there are.

    Where that many CPUs are free nothing betters them. Else the least loaded ones come first.
    """
    crowd.seats[0] = least_loaded(crowd.loads, slots, count)
    free = 0
    for c in range(slots):
        free += crowd.users[c] == 0
    if free >= count:
        taken = 0
        for c in range(slots):
            if crowd.users[c] == 0 and count > 0:
                taken |= 1 << c
                count -= 1
        crowd.seats[0] = taken
        return 1
    return 1 + seats_of(crowd.users, slots, count, crowd.seats[1:])
