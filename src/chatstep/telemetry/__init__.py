"""What chatstep counts about its work, for whoever watches over it. No text of a user and no key passes here.

`meter` counts, `families` writes the counts for Prometheus.
"""
