"""What a cloud is to mcml: small protocols in `api`, found through entry points; the built-in clouds come in by the same door."""
