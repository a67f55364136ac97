"""The loopback registry: how layers reach BuildKit. `client` starts it and talks to it, everything else runs in it."""
