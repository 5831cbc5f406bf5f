"""The demo platform: a generated shop platform with known frauds."""
