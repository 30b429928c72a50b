"""Why a cost changed: the exact split of the change between two spans, and what people did meanwhile."""
