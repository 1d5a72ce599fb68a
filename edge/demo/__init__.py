"""The demonstration: the real daemon between a simulated analyzer and a simulated LIS, on one machine."""

from pathlib import Path

DEMO_BUNDLE = Path(__file__).parent / "bundle"
"""The bundle that ships with the software. Intended for demonstration: all its outputs are marked as tests."""

DEMO_PUBLIC_KEY = Path(__file__).parent / "public_key.pem"
"""The public half of the key that signed the demo bundle. The private half was used once and thrown away."""
