"""What ships to whoever writes a provider or a command for mcml: contract tests, and later fakes and a way to run commands."""
