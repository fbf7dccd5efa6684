"""Applications come and go, from two up to eight and down to three: the cameras of a car park through a busy minute.

Entrance and exit always run: eight pictures a second, 100 ms so that the barrier opens without a pause, and the floor
of a gate. Cameras on the ramp and the decks join as cars drive in: six pictures a second of slow cars, and a fifth of a
second is soon enough for the sign that shows free places. A server polls the other cameras at its own times (Poisson);
they only count cars. Each stays for at least 26 s, so that it gets more than a hundred requests.
"""

from workloads import App, Mix, Periodic, Poisson, at


def mix() -> Mix:
    """Return the mix."""
    return Mix(
        name="arrivals_and_departures",
        duration_s=60,
        apps=[gate("entrance"), gate("exit")],
        events=[
            at(5, add=camera("ramp")),
            at(10, add=camera("deck1")),
            at(14, add=camera("deck2")),
            at(18, add=polled("roof")),
            at(22, add=polled("yard")),
            at(26, add=polled("street")),
            at(36, remove="deck1"),
            at(40, remove="deck2"),
            at(44, remove="roof"),
            at(48, remove="yard"),
            at(54, remove="street"),
        ],
        boards=["odroid-xu3", "two-core-host"],
    )


def gate(name: str) -> App:
    """Return a camera at a barrier."""
    return App(name, "ofa-plates", arrivals=Periodic(hz=8), latency_ms=100, min_accuracy=0.80, weight=2)


def camera(name: str) -> App:
    """Return a camera that watches parking places."""
    return App(name, "ofa-plates", arrivals=Periodic(hz=6), latency_ms=200, min_accuracy=0.77)


def polled(name: str) -> App:
    """Return a camera that sends a picture when a server asks for one."""
    return App(name, "ofa-plates", arrivals=Poisson(hz=6), latency_ms=300, min_accuracy=0.62)
