"""Heat: a car that was parked in the sun, with a camera on each side.

The board's ambient of 46.4 °C is that of a room, warmed by the rest of the chip. A cabin in the sun is some 25 °C
hotter than that room, and cools once the air conditioning runs: 46, 59, 71, then 59 and 46 °C again (assumed). The
kernel holds the A15's clock down above 84 °C. The four cameras of a surround view take 30 pictures a second each, as
cars' cameras do, and each answer is due before the next picture (33 ms). The floor of 86 % is that of an alarm which
has to be rare.
"""

from workloads import App, Mix, Periodic, at


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="hot",
        duration_s=60,
        apps=[
            App(side, "ofa-plates", arrivals=Periodic(hz=30), latency_ms=33, min_accuracy=0.86)
            for side in ("front", "rear", "left", "right")
        ],
        events=[
            at(8, ambient_c=58.9),
            at(18, ambient_c=71.4),
            at(40, ambient_c=58.9),
            at(50, ambient_c=46.4),
        ],
        boards=["odroid-xu3"],
    )
