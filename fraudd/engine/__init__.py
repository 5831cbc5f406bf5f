"""The life of a run from request to event, on ports alone: the simulation runs this very code."""
