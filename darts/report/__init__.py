"""Reports: a page of one run, and the comparison of several. Self-contained HTML, without scripts and network."""
