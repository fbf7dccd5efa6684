"""Vision on the GPU and translation on the CPU: a guide that sees what it is shown and interprets between two people.

Translation is HAT's published points of latency and BLEU (WMT'14 En-De; accuracy is BLEU / 100), without a network: 3.5
to 6.9 s a sentence on one core. Each speaker begins a sentence every ten seconds (25 words at an easy pace), up to two
seconds late. The translation is due while the next sentence is spoken, so within 10 s. Four of five on time are enough,
because a speaker can wait now and then. The floor of 27.3 BLEU is that of the base Transformer of 2017 on this task.

Vision answers ten times a second, each time before the next picture (100 ms), with 76 % of top-1.
"""

from workloads import App, Mix, Periodic


def mix() -> Mix:
    """Return the mix."""
    sentences = Periodic(hz=0.1, jitter_ms=2000)
    return Mix(
        name="vision_and_translation",
        duration_s=300,
        apps=[
            App("vision", "dynamic-ofa-gpu", arrivals=Periodic(hz=10), latency_ms=100, min_accuracy=0.76),
            App("host", "hat-translation", arrivals=sentences, latency_ms=10_000, min_accuracy=0.273, slo=0.8),
            App("guest", "hat-translation", arrivals=sentences, latency_ms=10_000, min_accuracy=0.273, slo=0.8),
        ],
        boards=["jetson-xavier-nx", "jetson-xavier-nx-unclamped"],
    )
