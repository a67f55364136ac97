"""layercache: an ephemeral CI runner builds container images as if it had never lost its cache."""

__version__ = "0.1.0"
