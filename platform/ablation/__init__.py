"""What an ablation is: its design as data, the trials that follow from it, its registration, and what came of it."""
