"""`python -m gearshift`: the same as the command `gearshift`."""

from workloads.cli import main

if __name__ == "__main__":
    main()
