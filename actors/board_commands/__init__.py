"""What the commands on a board itself do: describe it, examine it, measure it, give it back."""
