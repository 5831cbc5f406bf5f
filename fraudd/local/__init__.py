"""The local stack and the demo platform: all of fraudd on one machine."""
