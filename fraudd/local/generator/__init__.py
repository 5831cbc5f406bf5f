"""Makes the demo platform: shops and people, honest trade, frauds and what looks like them."""
