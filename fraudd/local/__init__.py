"""The local stack: an emulator, a database and a demo platform, for trying fraudd out."""
