"""Plug-ins: their source, what they declare, how their code is loaded, and how the tables are extended by them."""
