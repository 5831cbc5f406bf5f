"""An entity's record and every decision about it: pure, on the standard library only."""
