"""The CI systems: what each says of a run. One file per system, one line in the table of `scopes`."""
