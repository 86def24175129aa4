"""From the name of a runner and its settings to a method: loading, settings, columns, identity, replay."""
