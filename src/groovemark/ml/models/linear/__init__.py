"""One linear score a label: the head that stands on an embedding."""
