"""The process: put together, run under systemd, reloaded, stopped."""
