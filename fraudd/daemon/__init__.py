"""The process: wires the parts together, runs under systemd, reloads, and stops."""
