"""How a value looks: streams, tables, progress, questions and failures; this room knows no other room."""
