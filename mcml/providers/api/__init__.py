"""The protocols a provider may implement, one file each, and `ProviderSpec`, which says what it offers; no SDK and no decision here."""
