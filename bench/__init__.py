"""Speed, measured: `make bench`. docs/performance.md has the figures and what they mean."""
