"""The local stack and the demo: everything on one machine."""
