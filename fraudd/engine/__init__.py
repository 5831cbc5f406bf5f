"""What runs, on ports alone: the simulation runs this very code."""
