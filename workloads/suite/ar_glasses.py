"""Glasses for augmented reality: an assistant for 45 s, then a game, with the rates of XRBench.

Rates are those of XRBench's scenarios "AR assistant" and "AR gaming" (Kwon et al., MLSys 2023; `usage_scenarios/` of
its repository): keywords 3 Hz, speech 3 Hz for every second keyword, segmentation 10, depth 30, planes 15, objects 10,
hands 45. Each answer is due before the next input of its model. Speech follows a keyword there; here it comes by
itself at the mean rate (Poisson), and nine of ten answers are due within a third of a second.

The networks are stand-ins: none of XRBench's models is dynamic, so each is the plate reader's ladder with a floor that
we chose: lower if the next frame corrects a mistake (keywords, depth, hands), higher if the answer stays in view.
"""

from workloads import App, Mix, Periodic, Poisson, at


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="ar_glasses",
        duration_s=75,
        apps=[
            App("keywords", "ofa-plates", arrivals=Periodic(hz=3), latency_ms=333, min_accuracy=0.77),
            App("speech", "ofa-plates", arrivals=Poisson(hz=1.5), latency_ms=333, min_accuracy=0.86, slo=0.9),
            App("segmentation", "ofa-plates", arrivals=Periodic(hz=10), latency_ms=100, min_accuracy=0.82),
            App("depth", "ofa-plates", arrivals=Periodic(hz=30), latency_ms=33, min_accuracy=0.77, weight=2),
            App("planes", "ofa-plates", arrivals=Periodic(hz=15), latency_ms=66, min_accuracy=0.80),
            App("objects", "ofa-plates", arrivals=Periodic(hz=10), latency_ms=100, min_accuracy=0.86),
        ],
        events=[
            at(
                45, add=App("hands", "ofa-plates", arrivals=Periodic(hz=45), latency_ms=22, min_accuracy=0.77, weight=2)
            ),
            *(at(45, remove=app) for app in ("keywords", "speech", "segmentation", "objects")),
        ],
        boards=["odroid-xu3", "two-core-host"],
    )
