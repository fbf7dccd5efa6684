"""A client that sends its own pictures to a running mix, while the manager keeps it within its target."""

import sys

import numpy as np

from supernets import plates
from workloads import App, External, Mix, deploy


def main(requests: int = 50) -> None:
    mix = Mix(
        name="client",
        duration_s=3600,
        apps=[App("gate", supernet="ofa-plates", arrivals=External(), latency_ms=120, min_accuracy=0.75, queue=8)],
    )
    drawn = plates.draw(requests, seed=1, held_out=True)
    with deploy(mix) as deployment:
        results = [deployment.infer("gate", picture) for picture in drawn.pictures]
    texts = [plates.read(result.output)[0] for result in results]
    right = sum(text == truth for text, truth in zip(texts, drawn.texts, strict=True))
    latency_ms = np.median([result.latency_ms for result in results])
    print(f"{right} of {requests} plates read right, median latency {latency_ms:.1f} ms")
    print("sub-networks:", ", ".join(sorted({result.subnet for result in results})))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
