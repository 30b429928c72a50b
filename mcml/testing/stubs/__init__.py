"""Servers that a provider's tests talk to over real HTTP where the cloud itself, or an emulator of it, cannot misbehave on demand."""
