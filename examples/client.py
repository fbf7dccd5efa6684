"""A client that sends its own pictures to a running mix, while the manager keeps it within its target."""

import sys

import numpy as np

from gearshift import App, External, Mix, RequestDroppedError, deploy
from supernets.pictures import plates


def main(requests: int = 50) -> None:
    mix = Mix(
        name="client",
        duration_s=3600,
        apps=[App("gate", supernet="ofa-plates", arrivals=External(), latency_ms=120, min_accuracy=0.75, queue=8)],
    )
    drawn = plates.draw(requests, seed=1, held_out=True)
    results, right = [], 0
    with deploy(mix) as deployment:
        for picture, text in zip(drawn.pictures, drawn.texts, strict=True):
            try:
                result = deployment.infer("gate", picture)
            except RequestDroppedError:
                # Its deadline passed while it waited: the camera has a newer picture by then.
                continue
            results.append(result)
            right += plates.read(result.output)[0] == text
    print(f"{right} of {requests} plates read right, {requests - len(results)} requests dropped")
    print(f"median latency {np.median([result.latency_ms for result in results]):.1f} ms")
    print("sub-networks:", ", ".join(sorted({result.subnet for result in results})))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
