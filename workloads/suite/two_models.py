"""Two models at once on one GPU: a robot that looks ahead and to the side.

The networks are the paper's with their published latencies, 41 to 62 ms on Xavier NX's GPU (eager PyTorch of 2020), so
a camera's full rate is out of reach: six pictures a second ahead and four beside. Each answer is due before the next
picture of that camera. At walking pace the robot moves 0.25 m between two pictures. The floors are 77 % of top-1 ahead,
75 % beside.
"""

from workloads import App, Mix, Periodic


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="two_models",
        duration_s=60,
        apps=[
            App("ahead", "dynamic-ofa-gpu", arrivals=Periodic(hz=6), latency_ms=166, min_accuracy=0.77, weight=2),
            App("beside", "dynamic-ofa-gpu", arrivals=Periodic(hz=4), latency_ms=250, min_accuracy=0.75),
        ],
        boards=["jetson-xavier-nx", "jetson-xavier-nx-unclamped"],
    )
