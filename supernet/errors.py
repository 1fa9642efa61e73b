"""What goes wrong with a space before anything is trained."""


class SpaceError(ValueError):
    """A space that cannot be built or searched; the message is one line that says why."""
