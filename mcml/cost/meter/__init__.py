"""The meter: what runs now times its price, as estimates until the bill comes, and the prices that the router reads."""
