"""The screens of this room: pure functions from its values to documents."""
