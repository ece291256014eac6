"""How single cells of a form are read: pure functions from what people type to what the office means."""
