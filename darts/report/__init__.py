"""Runs as pages: what one run did, and several side by side. Self-contained HTML, without scripts and network."""
