"""Mixed operations: one definition, and faster forms that equal it."""
