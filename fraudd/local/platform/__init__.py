"""The demo platform: a generated shop platform whose frauds are known."""
